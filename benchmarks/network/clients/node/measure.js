// The closed loop and the open loop of client.js, their histogram, and the kept answers that are
// checked afterwards.
'use strict'

const { performance } = require('node:perf_hooks')
const { peer } = require('./modules.js')

const MAX_NS = 60e9
const KEEP = 1000
const KEEP_BYTES = 64 * 2 ** 20
const FIRST = 100
// Time to wait after the end; calls without an answer by then are lost.
const PATIENCE_MS = 30_000
const HOT_SECONDS = 0.15

/** Keeps each of the first 100 answers and every k-th one; k doubles if there are too many. */
class Kept {
  constructor(bytes) {
    this.limit = Math.max(FIRST, Math.min(KEEP, Math.floor(KEEP_BYTES / Math.max(1, bytes))))
    this.every = 1
    this.seen = 0
    this.answers = []
  }

  add(i, answer) {
    const order = this.seen++
    if (order >= FIRST && order % this.every !== 0) return
    this.answers.push({ order, i, answer })
    while (this.answers.length > this.limit + FIRST) {
      this.every *= 2
      this.answers = this.answers.filter(one => one.order < FIRST || one.order % this.every === 0)
    }
  }
}

class Measurement {
  constructor(work, approach) {
    this.work = work
    this.approach = approach
    const { build } = peer('hdr-histogram-js')
    this.histogram = build({
      highestTrackableValue: MAX_NS,
      numberOfSignificantValueDigits: 3,
      autoResize: false,
      bitBucketSize: 32
    })
    this.kept = new Kept(work.rows * work.numbers * 8)
    this.calls = this.lost = this.max = 0
    this.error = null
    this.isOver = false
    this.cpu = process.cpuUsage()
  }

  /** Stops the measurement after the last call; later work, such as checking, is not part of it. */
  end(missing) {
    const { user, system } = process.cpuUsage(this.cpu)
    this.cpuSeconds = (user + system) / 1e6
    this.isOver = true
    for (let k = 0; k < missing; ++k) {
      this.calls++
      this.lost++
      this.error ??= `no answer within ${PATIENCE_MS / 1000} s`
    }
  }

  answered(i, answer, milliseconds) {
    if (this.isOver) return
    this.calls++
    this.max = Math.max(this.max, milliseconds)
    this.histogram.recordValue(Math.min(MAX_NS, Math.max(1, Math.round(milliseconds * 1e6))))
    this.kept.add(i, answer)
  }

  failed(error) {
    if (this.isOver) return
    this.calls++
    this.lost++
    this.error ??= String(error?.message ?? error)
  }

  /** The results, after the last answer or after a timeout with `missing` calls in progress. */
  report(seconds, missing) {
    this.end(missing)
    const wrong = this.kept.answers.filter(({ i, answer }) => !this.isRight(i, answer)).length
    const us = percent =>
      this.calls > this.lost ? this.histogram.getValueAtPercentile(percent) / 1000 : 0
    const { request = 0, response = 0 } = this.approach.sizes ?? {}
    return {
      calls: this.calls,
      wrong,
      lost: this.lost,
      seconds,
      p50_us: us(50),
      p90_us: us(90),
      p99_us: us(99),
      p999_us: us(99.9),
      max_us: this.max * 1000,
      request_bytes: request,
      response_bytes: response,
      cpu_s: this.cpuSeconds,
      error: this.error
    }
  }

  isRight(i, answer) {
    try {
      return this.work.isRight(i, this.approach.read(answer))
    } catch {
      return false // the answer does not even have the right form
    }
  }
}

/** Waits for all promises, at most for the given time. Returns true if all of them ended. */
async function inTime(promises, milliseconds) {
  let timer
  const late = new Promise(resolve => {
    timer = setTimeout(resolve, milliseconds, false)
  })
  const ended = await Promise.race([Promise.all(promises).then(() => true), late])
  clearTimeout(timer)
  return ended
}

/** Makes calls that are not counted, but checks their answers. Returns the next call's number. */
async function warmUp(call, work, approach, clients, calls, first) {
  await approach.prepare?.(clients)
  const unchecked = new Measurement(work, approach)
  let next = first
  const serve = async worker => {
    for (let k = 0; k < calls; ++k) {
      const i = next++
      unchecked.answered(i, await call(approach.ask(i), worker), 0)
    }
  }
  if (
    !(await inTime(
      Array.from({ length: clients }, (_, worker) => serve(worker)),
      PATIENCE_MS * Math.max(1, calls)
    ))
  ) {
    throw new Error('warm-up: a call has no answer')
  }
  if (unchecked.report(0, 0).wrong > 0) throw new Error('warm-up: an answer is wrong')
  return next
}

/** A single caller needs no promises if the approach has a synchronous call. */
const callOf = (approach, clients) => (clients === 1 && approach.callSync) || approach.call

async function closedLoop(work, approach, { clients, seconds, warm_up, first }) {
  const call = callOf(approach, clients)
  let next = await warmUp(call, work, approach, clients, warm_up, first)
  globalThis.gc?.()
  const measurement = new Measurement(work, approach)
  let underWay = 0
  const begin = performance.now()
  const until = begin + seconds * 1000
  let end = begin
  const serve = async worker => {
    while (end < until) {
      const i = next++
      const asked = approach.ask(i)
      underWay++
      const start = performance.now()
      try {
        let answer = call(asked, worker)
        if (typeof answer?.then === 'function') answer = await answer
        end = performance.now()
        measurement.answered(i, answer, end - start)
      } catch (error) {
        end = performance.now()
        measurement.failed(error)
      }
      underWay--
    }
  }
  const all = Array.from({ length: clients }, (_, worker) => serve(worker))
  const ended = await inTime(all, seconds * 1000 + PATIENCE_MS)
  return measurement.report((end - begin) / 1000, ended ? 0 : underWay)
}

/** Calls until V8 has compiled the code, before anything is measured. */
async function compile(work, approach) {
  const { wrong, lost, error } = await closedLoop(work, approach, {
    clients: 1,
    seconds: HOT_SECONDS,
    warm_up: 0,
    first: 0
  })
  if (lost > 0) throw new Error(error)
  if (wrong > 0) throw new Error('warm-up: an answer is wrong')
}

async function openLoop(work, approach, { clients, rate, seconds, warm_up, first }) {
  const call = callOf(approach, clients)
  const from = await warmUp(call, work, approach, clients, warm_up, first)
  globalThis.gc?.()
  const measurement = new Measurement(work, approach)
  const total = Math.max(1, Math.round(rate * seconds))
  const asked = Array.from({ length: Math.min(total, work.ring) }, (_, k) => approach.ask(from + k))
  const idle = Array.from({ length: clients }, (_, worker) => clients - 1 - worker)
  const begin = performance.now() + 2
  const due = k => begin + (k * 1000) / rate
  let next = 0
  let done = 0
  let end = begin
  let finish
  const finished = new Promise(resolve => {
    finish = resolve
  })

  async function make(k, worker) {
    try {
      const answer = await call(asked[k % asked.length], worker)
      end = performance.now()
      measurement.answered(from + (k % asked.length), answer, end - due(k))
    } catch (error) {
      end = performance.now()
      measurement.failed(error)
    }
    idle.push(worker)
    done++
    if (done === total) finish()
    else if (idle.length === 1) serve() // all workers were busy, so calls may be waiting
  }

  /**
   * Starts the calls that are due. Timers have a resolution of a millisecond, so the rest of a wait
   * spins through the event loop.
   */
  let isWaiting = false
  function serve() {
    while (next < total && idle.length > 0 && due(next) <= performance.now())
      make(next++, idle.pop())
    if (isWaiting || next === total || idle.length === 0) return
    isWaiting = true
    const wake = () => {
      isWaiting = false
      serve()
    }
    const left = due(next) - performance.now()
    if (left > 2) setTimeout(wake, Math.floor(left - 1))
    else setImmediate(wake)
  }

  serve()
  await inTime([finished], seconds * 1000 + PATIENCE_MS)
  return measurement.report((end - begin) / 1000, total - done)
}

module.exports = { closedLoop, compile, openLoop }
