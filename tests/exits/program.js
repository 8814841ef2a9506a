// Exits while runs are in flight: node program.js SLOW MATMUL STATE END DELAY_MS. test_exits.py
// checks the outcome. Prints "ending" before it exits.
'use strict'

const fs = require('node:fs')
const path = require('node:path')
const { setTimeout: sleep } = require('node:timers/promises')
const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads')

const { open } = require(path.join(__dirname, '..', '..', 'bindings', 'node'))

const SIDE = 1024
const FACTOR = { data: new Float32Array(SIDE * SIDE).fill(1), dims: [SIDE, SIDE] }
const NODE = { a: FACTOR, b: FACTOR } // one node, which takes about 50 ms and cannot be interrupted
// A run that can be interrupted.
const NEVER = { x: new Float32Array(16), n: { data: BigInt64Array.of(1_000_000_000n), dims: [] } }

const ignore = promise => promise.catch(() => {})

async function into(state, slow, matmul) {
  if (state === 'under_way' || state === 'pending') {
    for (let i = 0; i < (state === 'pending' ? 100 : 2); ++i) ignore(slow.run(NEVER))
  } else if (state === 'timed_out') {
    await Promise.all([
      ignore(matmul.run(NODE, { timeoutMs: 2 })),
      ignore(matmul.run(NODE, { timeoutMs: 2 }))
    ])
  } else if (state === 'cancelled') {
    const controller = new AbortController()
    const runs = [1, 2].map(() => ignore(matmul.run(NODE, { signal: controller.signal })))
    await sleep(1)
    controller.abort()
    await Promise.all(runs)
  } else {
    throw new Error('unknown state')
  }
}

function tell() {
  fs.writeSync(1, 'ending\n')
}

async function end(how) {
  if (how === 'process.exit') process.exit(3)
  if (how === 'exception') {
    setImmediate(() => {
      throw new Error('on purpose')
    })
  }
  if (how === 'signal') process.kill(process.pid, 'SIGTERM')
  if (how === 'signal with a handler') {
    process.on('SIGTERM', () => process.exit(3))
    process.kill(process.pid, 'SIGTERM')
  }
  if (how === 'process.exit in a worker') process.exit(3)
  await sleep(30_000)
}

async function run({ slow, matmul, state, how, delay }) {
  const options = { allowExec: true, waitMs: 30_000, verify: 'off' }
  await into(state, await open(slow, options), await open(matmul, options))
  await sleep(delay)
  if (!isMainThread) parentPort.postMessage('ready')
  if (isMainThread || how !== 'terminated workers') {
    if (isMainThread) tell()
    await end(how)
  } else {
    await sleep(30_000)
  }
}

/** Starts and ends workers one after the other. */
async function inWorkers(data) {
  const times = data.how === 'terminated workers' ? 5 : 1
  for (let i = 0; i < times; ++i) {
    const worker = new Worker(__filename, { workerData: data })
    const over = new Promise((resolve, reject) => worker.on('exit', resolve).on('error', reject))
    await new Promise(resolve => worker.once('message', resolve))
    if (i === times - 1) tell()
    if (data.how === 'terminated workers') await worker.terminate()
    const code = await over
    if (data.how === 'process.exit in a worker' && code !== 3)
      throw new Error(`expected 3, got ${code}`)
  }
  process.exitCode = 3
}

async function main() {
  if (!isMainThread) return run(workerData)
  const [slow, matmul, state, how, delay] = process.argv.slice(2)
  const data = { slow, matmul, state, how, delay: Number(delay) }
  return how.includes('worker') ? inWorkers(data) : run(data)
}

main()
