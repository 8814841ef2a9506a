// A server that is stopped while runs have to connect to it: the event loop continues, deadlines
// and aborts are on time, and nothing is lost.
'use strict'

const assert = require('node:assert/strict')
const { once } = require('node:events')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')
const { setTimeout: sleep } = require('node:timers/promises')
const { Worker } = require('node:worker_threads')

const { open } = require('../../../bindings/node')
const { modelPath, packageFolder, temporaryFolder } = require('../support/paths.js')
const { serve, serveAt, stop } = require('../support/server.js')
const slow = require('../support/slow.js')

const folder = temporaryFolder()
const LATER = 60_000 // ms; a deadline that no test waits for

/** Passes to `use` a model that has never run, and its server. */
async function withServed(file, use) {
  const server = serve(file)
  try {
    const first = await open(server.address, { waitMs: 20_000 })
    first.close()
    const model = await open(server.address)
    await use(model, {
      address: server.address,
      file,
      kill: server.kill,
      stop: () => stop(server.child),
      goOn: () => server.child.kill('SIGCONT')
    })
    model.close()
  } finally {
    server.child.kill('SIGCONT')
    await server.stop()
  }
}

function withSlow(use) {
  const file = path.join(folder, 'slow.onnx')
  fs.writeFileSync(file, slow.source)
  return withServed(file, use)
}

const give = (...values) => slow.inputsFor(0, Float32Array.from(values))

async function assertWorks(model) {
  assert.deepEqual([...(await model.run(give(7))).y], [7])
  assert.deepEqual([...model.runSync(give(8, 9)).y], [8, 9])
}

/** Resolves after so many iterations of the event loop. */
async function turn(times) {
  for (let i = 0; i < times; ++i) await new Promise(resolve => setImmediate(resolve))
}

/** Counts how often a timer fired until `promise` settled. */
async function ticksDuring(promise) {
  let ticks = 0
  const timer = setInterval(() => ++ticks, 1)
  try {
    await promise
  } finally {
    clearInterval(timer)
  }
  return ticks
}

test('a deadline ends a run that has to connect, and timers fire meanwhile', () =>
  withSlow(async (model, server) => {
    server.stop()
    const run = assert.rejects(model.run(give(1), { timeoutMs: 1_000 }), {
      code: 'TIMEOUT',
      retryable: true
    })
    assert.ok((await ticksDuring(run)) >= 5)
    server.goOn()
    await assertWorks(model)
  }))

test('a deadline ends a predict that has to connect', () =>
  withServed(modelPath('label_string.onnx'), async (model, server) => {
    const record = Object.fromEntries(model.signature.features.map(({ name }) => [name, 1]))
    server.stop()
    const run = assert.rejects(model.predict(record, { timeoutMs: 1_000 }), { code: 'TIMEOUT' })
    assert.ok((await ticksDuring(run)) >= 5)
    server.goOn()
    assert.deepEqual(await model.predict(record), model.predictSync(record))
  }))

test('a run that is too large for its connection connects again without blocking', () =>
  withSlow(async (model, server) => {
    await assertWorks(model)
    server.stop()
    const run = assert.rejects(
      model.run(slow.inputsFor(0, new Float32Array(1e6)), { timeoutMs: 1_000 }),
      { code: 'TIMEOUT' }
    )
    assert.ok((await ticksDuring(run)) >= 5)
    server.goOn()
    const { y } = await model.run(slow.inputsFor(0, new Float32Array(1e6).fill(2)))
    assert.ok(y.length === 1e6 && y.every(value => value === 2))
    await assertWorks(model)
  }))

test('inputs are read before run returns, and wrong inputs are refused immediately', () =>
  withSlow(async (model, server) => {
    server.stop()
    const x = Float32Array.of(3, 4)
    const run = model.run(slow.inputsFor(0, x))
    x.fill(9)
    await assert.rejects(model.run(slow.inputsFor(0, Int32Array.of(1))), {
      code: 'DTYPE_MISMATCH',
      feature: 'x'
    })
    await assert.rejects(
      model.run({
        ...give(1),
        get z() {
          throw new RangeError('mine')
        }
      }),
      RangeError
    )
    server.goOn()
    assert.deepEqual([...(await run).y], [3, 4])
  }))

test('an abort ends a run that connects', () =>
  withSlow(async (model, server) => {
    server.stop()
    const controller = new AbortController()
    const runs = [1, 2, 3].map(value => model.run(give(value), { signal: controller.signal }))
    const last = model.run(give(4))
    await turn(20)
    controller.abort('enough')
    for (const run of runs) await assert.rejects(run, error => error === 'enough')
    server.goOn()
    assert.equal((await last).y[0], 4)
    await assertWorks(model)
  }))

test('runs that connect end before a closed model is released', () =>
  withSlow(async (model, server) => {
    server.stop()
    const runs = [1, 2, 3].map(value => model.run(give(value)))
    await turn(20)
    model.close()
    await assert.rejects(model.run(give(5)), { code: 'INVALID_ARGUMENT' })
    server.goOn()
    assert.deepEqual(
      (await Promise.all(runs)).map(({ y }) => y[0]),
      [1, 2, 3]
    )
  }))

test('a call connects in its first run, and may be closed meanwhile', () =>
  withSlow(async (model, server) => {
    server.stop()
    const call = model.call()
    call.inputs.x[0] = 5
    call.inputs.n[0] = 10n ** 9n
    const run = call.run({ timeoutMs: LATER })
    assert.throws(() => call.runSync(), { code: 'BUSY' })
    await turn(20)
    call.close()
    const other = model.call()
    other.inputs.x[0] = 6
    assert.throws(() => other.runSync({ timeoutMs: 20 }), { code: 'TIMEOUT' })
    server.goOn()
    await assert.rejects(run, { code: 'CANCELLED' })
    await other.run()
    assert.equal(other.outputs.y[0], 6)
    other.close()
  }))

test('many runs that have to connect do not occupy the thread pool', () =>
  withSlow(async (model, server) => {
    server.stop()
    const controller = new AbortController()
    let isAnyOver = false
    const runs = Array.from({ length: 100 }, (_, i) =>
      model.run(give(i), { signal: controller.signal, timeoutMs: LATER }).finally(() => {
        isAnyOver = true
      })
    )
    const outcomes = Promise.allSettled(runs)
    for (let i = 0; i < 10; ++i) await fs.promises.readFile(__filename)
    assert.equal(isAnyOver, false)
    server.goOn()
    for (const [i, { value }] of (await outcomes).entries()) assert.equal(value.y[0], i)
  }))

test('a run after a synchronous run that timed out does not block', () =>
  withSlow(async (model, server) => {
    await assertWorks(model)
    server.stop()
    assert.throws(() => model.runSync(give(1, 2), { timeoutMs: 10 }), { code: 'TIMEOUT' })
    const run = assert.rejects(model.run(give(1, 2, 3), { timeoutMs: 1_000 }), { code: 'TIMEOUT' })
    assert.ok((await ticksDuring(run)) >= 5)
    server.goOn()
    await assertWorks(model)
  }))

test('idle connections are renewed without blocking the event loop when the next server is stopped', () =>
  withSlow(async (model, server) => {
    await Promise.all(Array.from({ length: 8 }, (_, i) => model.run(give(i))))
    await server.kill()
    const successor = serveAt(server.address, server.file)
    try {
      ;(await open(server.address, { waitMs: 20_000 })).close()
      stop(successor.child)
      const runs = Promise.allSettled(
        Array.from({ length: 8 }, (_, i) => model.run(give(i), { timeoutMs: 1_000 }))
      )
      assert.ok((await ticksDuring(runs)) >= 5)
      for (const { reason } of await runs) assert.equal(reason.code, 'TIMEOUT')
      successor.child.kill('SIGCONT')
      await assertWorks(model)
    } finally {
      successor.child.kill('SIGCONT')
      await successor.stop()
    }
  }))

test('an idle connection whose server died does not wake the event loop', () =>
  withSlow(async (model, server) => {
    await assertWorks(model)
    await server.kill()
    await turn(20)
    const before = performance.eventLoopUtilization()
    await new Promise(resolve => setTimeout(resolve, 200))
    assert.ok(performance.eventLoopUtilization(before).utilization < 0.5)
  }))

test('a worker that is terminated while a run connects does not wait for the server', () =>
  withSlow(async (model, server) => {
    const worker = new Worker(path.join(__dirname, '..', 'workers', 'connecting.js'), {
      workerData: { package: packageFolder, address: server.address }
    })
    await once(worker, 'message')
    server.stop()
    worker.postMessage('run')
    await once(worker, 'message')
    // 15 s are half of the time for which the run itself would wait.
    const isLate = sleep(15_000, true, { ref: false })
    assert.notEqual(await Promise.race([worker.terminate(), isLate]), true)
    server.goOn()
    await assertWorks(model)
  }))
