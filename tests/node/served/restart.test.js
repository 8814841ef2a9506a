// A server that restarts: with waitMs every kind of call waits for the next server until the
// deadline of the call, and the event loop continues.
'use strict'

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')
const { setTimeout: sleep } = require('node:timers/promises')

const { open } = require('../../../bindings/node')
const { modelPath, temporaryFolder } = require('../support/paths.js')
const { serve, serveAt } = require('../support/server.js')
const slow = require('../support/slow.js')

const WAIT = { waitMs: 30_000 }
const record = { a: 1, b: 2, c: true, d: 0.5 }
const tensors = { X: Float32Array.of(1, 2, 1, 0.5) }

/**
 * Passes to `use` a model of matrix.onnx whose server was killed, and restart(), which starts a
 * successor. The successor is stopped at the end.
 */
async function withOrphan(options, use) {
  const file = modelPath('matrix.onnx')
  const first = serve(file)
  let last = first
  try {
    ;(await open(first.address, WAIT)).close()
    const model = await open(first.address, options)
    await Promise.all([model.predict(record), model.run(tensors), model.run(tensors)])
    await first.kill()
    const restart = () => {
      last = serveAt(first.address, file)
    }
    await use(model, restart)
    model.close()
  } finally {
    await last.stop()
  }
}

/** Ways to call the model; each returns 621 for `record`. */
const WAYS = {
  predict: async model => (await model.predict(record)).prediction,
  'predict of many': async model => (await model.predict([record, record]))[1].prediction,
  run: async model => (await model.run(tensors)).prediction[0],
  'call.run': async model => {
    const call = model.call()
    call.inputs.X.set(tensors.X)
    await call.run()
    const [answer] = call.outputs.prediction
    call.close()
    return answer
  }
}

test('asynchronous calls wait for the next server while the event loop turns', () =>
  withOrphan(WAIT, async (model, restart) => {
    const answers = Object.entries(WAYS).flatMap(([way, ask]) =>
      [1, 2, 3].map(async () => [way, await ask(model)])
    )
    let ticks = 0
    const timer = setInterval(() => ++ticks, 1)
    await sleep(300)
    clearInterval(timer)
    assert.ok(ticks >= 20, `${ticks} ticks`)
    restart()
    for (const [way, answer] of await Promise.all(answers)) assert.equal(answer, 621, way)
  }))

test('synchronous calls wait for the next server', () =>
  withOrphan(WAIT, async (model, restart) => {
    restart() // the server is still starting
    assert.equal(model.predictSync(record).prediction, 621)
    assert.equal(model.runSync(tensors).prediction[0], 621)
    const call = model.call()
    call.inputs.X.set(tensors.X)
    call.runSync()
    assert.equal(call.outputs.prediction[0], 621)
    call.close()
  }))

test('a deadline and an abort end the wait', () =>
  withOrphan(WAIT, async (model, restart) => {
    for (const ask of [
      () => model.predict(record, { timeoutMs: 50 }),
      () => model.run(tensors, { timeoutMs: 50 })
    ]) {
      const start = performance.now()
      await assert.rejects(
        ask(),
        error => ['TIMEOUT', 'UNREACHABLE'].includes(error.code) && error.retryable
      )
      assert.ok(performance.now() - start < 10_000)
    }
    assert.throws(() => model.runSync(tensors, { timeoutMs: 50 }), { code: 'UNREACHABLE' })
    const controller = new AbortController()
    const runs = [1, 2, 3, 4].map(() => model.run(tensors, { signal: controller.signal }))
    await sleep(50)
    controller.abort('enough')
    for (const run of runs) await assert.rejects(run, error => error === 'enough')
    restart()
    assert.equal(await WAYS.run(model), 621)
  }))

test('runs wait at the same time, not one after the other, for a server that never comes back', () =>
  withOrphan({ waitMs: 500 }, async model => {
    const start = performance.now()
    const runs = await Promise.allSettled(Array.from({ length: 60 }, () => model.run(tensors)))
    for (const { reason } of runs) assert.equal(reason.code, 'UNREACHABLE')
    assert.ok(performance.now() - start < 10_000)
  }))

test('a deadline that ends the wait for another connection releases the workspace once', () =>
  withOrphan({ waitMs: 300 }, async (model, restart) => {
    // The first run waits for the server, and the others wait for the first one.
    const options = [{}, {}, ...Array(8).fill({ timeoutMs: 50 })]
    const outcomes = await Promise.allSettled(options.map(each => model.run(tensors, each)))
    for (const { reason } of outcomes)
      assert.ok(['TIMEOUT', 'UNREACHABLE'].includes(reason.code), String(reason))
    restart()
    for (let isServed = false; !isServed; ) {
      isServed = await model.run(tensors).then(
        () => true,
        error => {
          if (error.code !== 'UNREACHABLE') throw error
        }
      )
    }
    const answers = await Promise.all(Array.from({ length: 8 }, () => WAYS.run(model)))
    assert.deepEqual(answers, Array(8).fill(621))
  }))

test('without waitMs a call during the restart fails immediately', () =>
  withOrphan({}, async model => {
    for (const ask of Object.values(WAYS))
      await assert.rejects(ask(model), { code: 'UNREACHABLE', retryable: true })
  }))

test('a run that the dead server had taken fails, and the runs that wait behind it succeed', async () => {
  const file = path.join(temporaryFolder(), 'slow.onnx')
  fs.writeFileSync(file, slow.source)
  const first = serve(file)
  const model = await open(first.address, WAIT)
  await Promise.all([1, 2, 3, 4].map(value => model.run(slow.inputsFor(0, Float32Array.of(value)))))
  const long = assert.rejects(model.run(slow.inputsFor(60_000)), {
    code: 'PEER_DIED',
    retryable: true
  })
  await sleep(100)
  const runs = [1, 2, 3].map(value => model.run(slow.inputsFor(0, Float32Array.of(value))))
  await sleep(100)
  await first.kill()
  await sleep(100)
  const second = serveAt(first.address, file)
  await long
  const answers = await Promise.all(runs)
  assert.deepEqual(
    answers.map(({ y }) => y[0]),
    [1, 2, 3]
  )
  model.close()
  await second.stop()
})
