// The Node side of benchmarks/node: the requests `load` and `round` of benchmarks/inproc, and
// `concurrent` and `delay`. Started by run.py.
'use strict'

const fs = require('node:fs')
const { monitorEventLoopDelay, performance } = require('node:perf_hooks')
const readline = require('node:readline')
const { approaches, loadWork, openOnnxRuntime, openSidecall } = require('./approaches.js')

const RING = 1024
// V8 compiles code only after it has run often. Before its first round, an approach is called
// repeatedly until one of these limits is reached.
const WARM_UP_CALLS = 5000
const WARM_UP_MS = 300

let work
let made

async function warmUp(approach) {
  const until = performance.now() + WARM_UP_MS
  for (let calls = 0; calls < WARM_UP_CALLS && performance.now() < until; calls += 10) {
    const items = Array.from({ length: 10 }, (_, i) => approach.request((calls + i) % RING))
    await approach.loop(items, [], [])
  }
}

async function approachOf(name) {
  if (!made.has(name)) {
    const approach = await approaches[name](work)
    await warmUp(approach)
    made.set(name, approach)
  }
  return made.get(name)
}

/**
 * The number of a label; labels that are strings are numbered in the order of labels.txt. An
 * unknown string has the number -2, which is that of no class.
 */
function numberOf(label) {
  if (typeof label !== 'string') return Number(label)
  const at = work.labels.indexOf(label)
  return at === -1 ? -2 : at
}

/** Writes the label (-1: none) and the probabilities of each row of one call. */
function writeAnswer(answers, call, [labels, probabilities]) {
  const { rows, classes } = work
  for (let row = 0; row < rows; ++row) {
    const at = (call * rows + row) * (1 + classes)
    answers[at] = labels === undefined ? -1 : numberOf(labels[row])
    for (let i = 0; i < classes; ++i) answers[at + 1 + i] = probabilities[row * classes + i]
  }
}

async function round(name, first, calls, warmUpCalls) {
  const approach = await approachOf(name)
  const items = Array.from({ length: calls + warmUpCalls }, (_, i) =>
    approach.request((first + i) % RING)
  )
  const times = new Float64Array(calls)
  const kept = new Array(calls).fill(null)
  globalThis.gc()
  await approach.loop(
    items.slice(calls),
    new Float64Array(warmUpCalls),
    new Array(warmUpCalls).fill(null)
  )
  await approach.loop(items.slice(0, calls), times, kept)
  if (approach.read === undefined) return [times, new Float64Array(0)] // it has no answer
  const answers = new Float64Array(calls * work.rows * (1 + work.classes))
  for (let call = 0; call < calls; ++call) writeAnswer(answers, call, approach.read(kept[call]))
  return [times, answers]
}

const CROWD_WARM_UP = 2000

/**
 * Makes `calls` calls with `width` of them in progress at any time, after as many untimed calls, at
 * most CROWD_WARM_UP. Returns the total time, then the time of each call.
 */
async function concurrent(name, width, first, calls) {
  const { start, request, read } = await approachOf(name)
  const serve = async (count, times, kept) => {
    let next = 0
    const one = async () => {
      while (next < count) {
        const call = next++
        const begin = performance.now()
        kept[call] = await start(request((first + call) % RING))
        times[call] = performance.now() - begin
      }
    }
    const begin = performance.now()
    await Promise.all(Array.from({ length: width }, one))
    return performance.now() - begin
  }
  const times = new Float64Array(calls)
  const kept = new Array(calls).fill(null)
  const warmUp = Math.min(calls, CROWD_WARM_UP)
  globalThis.gc()
  await serve(warmUp, new Float64Array(warmUp), new Array(warmUp).fill(null))
  const total = await serve(calls, times, kept)
  const answers = new Float64Array(calls * work.rows * (1 + work.classes))
  for (let call = 0; call < calls; ++call) writeAnswer(answers, call, read(kept[call]))
  return [Float64Array.of(total, ...times), answers]
}

const slow = {
  async 'onnxruntime-node'(file, x, dims) {
    const { session, Tensor } = await openOnnxRuntime(file)
    return async () => (await session.run({ X: new Tensor('float32', x, dims) })).Y.data
  },
  async sidecall(file, x, dims) {
    const model = await openSidecall(file)
    return async () => (await model.run({ X: { data: x, dims } })).Y
  },
  /** Measures the delay of the loop while nothing runs, which the machine itself causes. */
  async idle() {
    return () => new Promise(resolve => setTimeout(resolve, 50))
  }
}

let runSlow

/**
 * Runs a slow model repeatedly. Returns the p50, p99 and maximum of the loop's delay as Node
 * measures it, the time of a run, the number of runs, and the last output.
 */
async function delay(name, file, rows, width, milliseconds) {
  if (runSlow === undefined) {
    const x = Float32Array.from({ length: rows * width }, (_, i) => ((i % 7) - 3) / 8)
    runSlow = await slow[name](file, x, [rows, width])
    await runSlow()
  }
  const histogram = monitorEventLoopDelay({ resolution: 1 })
  const until = performance.now() + milliseconds
  let runs = 0
  let last
  histogram.enable()
  const begin = performance.now()
  while (performance.now() < until) {
    last = await runSlow()
    ++runs
  }
  const each = (performance.now() - begin) / runs
  histogram.disable()
  const found = [histogram.percentile(50), histogram.percentile(99), histogram.max].map(
    ns => ns / 1e6
  )
  // reply() multiplies every number by 1e6, from ms to ns. Divide the number of runs by 1e6, so
  // that it arrives unchanged.
  return [Float64Array.from([...found, each, runs / 1e6]), Float64Array.from(last ?? [])]
}

/**
 * Writes one line, then times as int64 in ns and answers as float64. The write is synchronous and
 * repeats until the pipe has accepted everything.
 */
function reply(times, answers) {
  const nanoseconds = BigInt64Array.from(times, time => BigInt(Math.round(time * 1e6)))
  const head = Buffer.from(`ok ${times.length} ${answers.length}\n`)
  for (
    let left = Buffer.concat([head, Buffer.from(nanoseconds.buffer), Buffer.from(answers.buffer)]);
    left.length > 0;
  ) {
    left = left.subarray(fs.writeSync(1, left))
  }
}

const requests = {
  load(folder, rows, uri) {
    work = loadWork(folder, Number(rows), RING, uri)
    made = new Map()
    return [[], new Float64Array(0)]
  },
  round: (name, ...numbers) => round(name, ...numbers.map(Number)),
  concurrent: (name, ...numbers) => concurrent(name, ...numbers.map(Number)),
  delay: (name, file, ...numbers) => delay(name, file, ...numbers.map(Number))
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [request, ...words] = line.split(' ')
    reply(...(await requests[request](...words)))
  }
}

main().catch(error => {
  fs.writeSync(1, `error ${error.message.replaceAll('\n', ' ')}\n`)
  fs.writeSync(2, `${error.stack}\n`)
  process.exit(1)
})
