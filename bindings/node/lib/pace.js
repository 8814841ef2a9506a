// How long runs of a model take, by the size of what they are given: decides which are so short that a thread would cost more.
'use strict'

const os = require('node:os')
const { performance } = require('node:perf_hooks')
const { setImmediate } = require('node:timers') // the real one, when tests replace the global

const SHORT_NS = 50_000 // a hop to a thread and back takes 20 to 70 us
const TRIAL_NS = 300_000 // runs that took no longer on threads may be short: a few are tried here, where they harm nobody
const LONG_NS = 2_000_000 // what nobody should wait for again; shorter outliers are mostly the machine's
const TURN_NS = 1_000_000 // in one turn of the event loop, all short runs together
const TRIALS = 4 // the first run of a workspace is a slow one
const MAX_WAIT = 4096 // runs between two trials that failed
const WINDOW = 64 // runs
const THREADS = Math.max(2, os.availableParallelism()) // that the library has at most

const clock = performance.now.bind(performance)
const now = () => clock() * 1e6

/** What is known of runs of one size. */
class Estimate {
  constructor(isLocal) {
    this.isLocal = isLocal
    this.ns = Number.POSITIVE_INFINITY // of a run on this thread
    this.numTrials = 0 // left of those under way
    this.numBack = 0 // of this window, from threads
    this.windowStart = 0
    this.hops = 0 // since the last trial
    this.nextTrial = 1
  }

  get isShort() {
    return this.ns < SHORT_NS || this.numTrials > 0
  }

  /** A run took that long on this thread. */
  observe(ns) {
    if (this.numTrials > 0) {
      this.ns = Math.min(this.ns, ns)
      this.numTrials = ns > TRIAL_NS ? 0 : this.numTrials - 1
      if (this.ns < SHORT_NS) this.nextTrial = TRIALS
      return
    }
    // Slower counts at once, faster by and by.
    if (ns <= this.ns) this.ns = this.ns * 0.9 + ns * 0.1
    else this.ns = ns >= LONG_NS ? ns : Math.min(ns, this.ns * 4)
  }

  /** A run goes to a thread. */
  noteStart() {
    if (this.windowStart === 0) this.windowStart = now()
  }

  /**
   * A run was back from a thread `ns` after its start, queues included. All that came back since the window began took, together, no
   * more than the time that the threads had. Trials become rarer with every one that fails.
   */
  noteBack(ns) {
    const mean = ((now() - this.windowStart) * THREADS) / ++this.numBack
    if (this.numBack === WINDOW) {
      this.numBack = 0
      this.windowStart = 0
    }
    if (!this.isLocal || ++this.hops < this.nextTrial || Math.min(ns, mean) > TRIAL_NS) return
    this.hops = 0
    this.nextTrial = Math.min(this.nextTrial * 4, MAX_WAIT)
    this.ns = Number.POSITIVE_INFINITY
    this.numTrials = TRIALS
  }
}

/** Estimates of one kind of run of a model, by the power of two that its size lies below. */
class Pace {
  /** `isLocal`: another process may keep a short run waiting for ever, so that none of its runs is short. */
  constructor(isLocal) {
    this.estimates = Array.from({ length: 33 }, () => new Estimate(isLocal))
  }

  of(size) {
    return this.estimates[32 - Math.clz32(size)]
  }
}

/** This turn of the event loop: short runs on it, until together they would delay others. */
class Turn {
  constructor() {
    this.spent = 0
    this.immediate = null
    this.next = [] // what waits for the next turn, from `first` on
    this.first = 0
    this.end = this.end.bind(this)
  }

  get numWaiting() {
    return this.next.length - this.first
  }

  get isOver() {
    return this.spent >= TURN_NS
  }

  /** Runs now and takes the time. */
  time(estimate, workspace, timeoutNs) {
    const start = now()
    try {
      workspace.execute(timeoutNs)
    } finally {
      const ns = now() - start
      this.spent += ns
      estimate.observe(ns)
      this.immediate ??= setImmediate(this.end)
    }
  }

  defer(run) {
    this.next.push(run)
    this.immediate ??= setImmediate(this.end)
  }

  end() {
    this.immediate = null
    this.spent = 0
    while (this.numWaiting > 0 && !this.isOver) this.next[this.first++]()
    if (this.first > 1024 || this.numWaiting === 0) {
      this.next = this.next.slice(this.first)
      this.first = 0
    }
    if (this.numWaiting > 0) this.immediate ??= setImmediate(this.end)
  }
}

module.exports = { Pace, THREADS, turn: new Turn(), now }
