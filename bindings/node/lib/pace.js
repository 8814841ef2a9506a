// How long runs of a model take, by the size of what they are given: decides which are so short that a thread would cost more.
'use strict'

const SHORT_NS = 50_000 // a hop to a thread and back takes 20 to 70 us
const TRIAL_NS = 300_000 // a run that came back from a thread in this time may be short: it is tried once where it harms nobody
const TURN_NS = 1_000_000 // in one turn of the event loop, all short runs together

const bucketOf = size => 32 - Math.clz32(size)
const now = () => performance.now() * 1e6

class Pace {
  constructor() {
    this.estimates = new Float64Array(33).fill(Number.POSITIVE_INFINITY)
    this.hops = new Uint32Array(33)
    this.nextTrial = new Uint32Array(33).fill(1)
    this.isTrial = new Array(33).fill(false)
  }

  isShort(size) {
    const bucket = bucketOf(size)
    return this.estimates[bucket] < SHORT_NS || this.isTrial[bucket]
  }

  /** A run took that long on this thread. */
  observe(size, ns) {
    const bucket = bucketOf(size)
    const before = this.estimates[bucket]
    this.isTrial[bucket] = false
    // Slower counts at once, faster by and by.
    this.estimates[bucket] = before === Number.POSITIVE_INFINITY ? ns : ns > before ? (before + ns) / 2 : before * 0.9 + ns * 0.1
  }

  /** A run on a thread of the pool was back after that long. Trials become rarer with every one that fails. */
  observeHop(size, ns) {
    const bucket = bucketOf(size)
    if (++this.hops[bucket] < this.nextTrial[bucket] || ns > TRIAL_NS) return
    this.hops[bucket] = 0
    this.nextTrial[bucket] = Math.min(this.nextTrial[bucket] * 4, 4096)
    this.estimates[bucket] = Number.POSITIVE_INFINITY
    this.isTrial[bucket] = true
  }
}

/** This turn of the event loop: short runs on it, until together they would delay others. */
class Turn {
  constructor() {
    this.spent = 0
    this.immediate = null
    this.next = [] // what waits for the next turn
    this.end = this.end.bind(this)
  }

  get isOver() {
    return this.spent >= TURN_NS
  }

  /** Runs now and takes the time. */
  time(pace, size, run) {
    const start = now()
    try {
      run()
    } finally {
      const ns = now() - start
      this.spent += ns
      pace.observe(size, ns)
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
    const { next } = this
    let done = 0
    while (done < next.length && !this.isOver) next[done++]()
    this.next = next.slice(done)
    if (this.next.length > 0) this.immediate ??= setImmediate(this.end)
  }
}

module.exports = { Pace, turn: new Turn(), now }
