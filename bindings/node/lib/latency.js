// Estimates how long runs of a model in this process take, by the size of their input, to find the
// runs that are so short that the hop to a thread would cost more than the run. Such runs execute
// on the event loop; used by runner.js and tasks.js.
'use strict'

const os = require('node:os')
const { performance } = require('node:perf_hooks')
const { setImmediate } = require('node:timers') // the original, even if tests replace the global

// A run that takes less time than this is short. A hop to a thread and back takes 20 to 70 us.
const SHORT_NS = 50_000
// If runs take at most this long on threads, including the hop, they may be short. Then a few of
// them are tried on the event loop; at this length they do not delay other work noticeably.
const TRIAL_NS = 300_000
// One run that takes this long raises the estimate at once, so that the event loop is not blocked
// again. Shorter outliers are mostly noise of the machine.
const LONG_NS = 2_000_000
// The time that all short runs together may take in one turn of the event loop.
const TURN_NS = 1_000_000
// The number of runs in a trial. It is more than one, because the first run of a workspace is slow.
const TRIALS = 4
// The largest number of runs between two failed trials.
const MAX_WAIT = 4096
// The number of runs over which the mean time on threads is computed.
const WINDOW = 64
// The maximum number of threads in the pool of the library.
const THREADS = Math.max(2, os.availableParallelism())

const clock = performance.now.bind(performance)
const now = () => clock() * 1e6

/** The latency estimate for runs of one size. */
class Estimate {
  constructor() {
    this.ns = Number.POSITIVE_INFINITY // estimated time of a run on this thread
    this.numTrials = 0 // runs that are left of the current trial
    this.numReturned = 0 // runs of the current window that have come back from threads
    this.windowStart = 0
    this.hops = 0 // runs on threads since the last trial
    this.nextTrial = 1 // the value of `hops` at which the next trial may begin
  }

  get isShort() {
    return this.ns < SHORT_NS || this.numTrials > 0
  }

  /** Records that a run took `ns` on this thread. */
  observe(ns) {
    if (this.numTrials > 0) {
      this.ns = Math.min(this.ns, ns)
      this.numTrials = ns > TRIAL_NS ? 0 : this.numTrials - 1
      if (this.ns < SHORT_NS) this.nextTrial = TRIALS
      return
    }
    // A slower run raises the estimate quickly: to at most 4 times its value, or to any value if
    // the run is long. Faster runs lower the estimate gradually.
    if (ns <= this.ns) this.ns = this.ns * 0.9 + ns * 0.1
    else this.ns = ns >= LONG_NS ? ns : Math.min(ns, this.ns * 4)
  }

  /** Records that a run was started on a thread. */
  noteStart() {
    if (this.windowStart === 0) this.windowStart = now()
  }

  /**
   * Records that a run came back from a thread `ns` after its start, including the time in queues.
   * `mean` is an upper bound of the mean run time: all runs that came back in this window took,
   * together, at most the elapsed time multiplied by the number of threads. Each failed trial makes
   * trials rarer.
   */
  noteReturn(ns) {
    const mean = ((now() - this.windowStart) * THREADS) / ++this.numReturned
    if (this.numReturned === WINDOW) {
      this.numReturned = 0
      this.windowStart = 0
    }
    if (++this.hops < this.nextTrial || Math.min(ns, mean) > TRIAL_NS) return
    this.hops = 0
    this.nextTrial = Math.min(this.nextTrial * 4, MAX_WAIT)
    this.ns = Number.POSITIVE_INFINITY
    this.numTrials = TRIALS
  }
}

/**
 * The latency estimates for one kind of run of a model: one estimate for each power of two of the
 * input size.
 */
class LatencyEstimates {
  constructor() {
    this.estimates = Array.from({ length: 33 }, () => new Estimate())
  }

  of(size) {
    return this.estimates[32 - Math.clz32(size)]
  }
}

/**
 * The time budget of one turn of the event loop: short runs execute on the loop until the budget is
 * spent; the rest waits for the next turn.
 */
class Turn {
  constructor() {
    this.spent = 0
    this.immediate = null
    this.next = [] // functions that wait for the next turn; those before `first` are done
    this.first = 0
    this.end = this.end.bind(this)
  }

  get numWaiting() {
    return this.next.length - this.first
  }

  get isOver() {
    return this.spent >= TURN_NS
  }

  /** Runs now, and measures the time of the run. */
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

module.exports = { LatencyEstimates, THREADS, turn: new Turn(), now }
