// The time that short runs take on the event loop; used by runner.js and tasks.js. Such runs
// execute there because the hop to a thread would cost more than the run.
'use strict'

const { performance } = require('node:perf_hooks')
const { setImmediate } = require('node:timers') // the original, even if tests replace the global

// The time that all short runs together may take in one turn of the event loop.
const TURN_NS = 1_000_000

const clock = performance.now.bind(performance)
const now = () => clock() * 1e6

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

  /** Executes a run now. */
  run(workspace, timeoutNs) {
    const start = now()
    try {
      workspace.execute(timeoutNs)
    } finally {
      const ns = now() - start
      workspace.noteRunOnLoop(ns)
      this.spent += ns
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
    try {
      while (this.numWaiting > 0 && !this.isOver) this.next[this.first++]()
    } finally {
      if (this.first > 1024 || this.numWaiting === 0) {
        this.next = this.next.slice(this.first)
        this.first = 0
      }
      if (this.numWaiting > 0) this.immediate ??= setImmediate(this.end)
    }
  }
}

module.exports = { now, turn: new Turn() }
