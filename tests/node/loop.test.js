// The event loop continues while models open and run, runs wait for their turn, and only pending
// work keeps a process alive.
'use strict'

const assert = require('node:assert/strict')
const test = require('node:test')

const { open, openSync } = require('../../bindings/node')
const { modelPath } = require('./support/paths.js')
const { runScript } = require('./support/process.js')
const slow = require('./support/slow.js')

/** Counts iterations of the event loop until `promise` settles. */
async function turnsDuring(promise) {
  let turns = 0
  let isOver = false
  const count = () => {
    turns += 1
    if (!isOver) setImmediate(count)
  }
  setImmediate(count)
  try {
    await promise
  } finally {
    isOver = true
  }
  return turns
}

const add = { x: Float32Array.of(1, 2), y: 0 }

test('the event loop turns while a slow run is pending', async () => {
  const model = openSync(slow.source)
  await model.run(slow.inputsFor(1))
  assert.equal(await slow.numAborted(model, 1, 5_000), 1)
})

test('the event loop turns while many slow runs are pending', async () => {
  assert.equal(await slow.numAborted(openSync(slow.source), 20, 5_000), 20)
})

test('a slow predict does not block the event loop', async () => {
  const model = openSync(modelPath('gbm.onnx'))
  const record = Object.fromEntries(model.signature.features.map(({ name }) => [name, 0]))
  const turns = await turnsDuring(model.predict(Array.from({ length: 100_000 }, () => record)))
  assert.ok(turns >= 2, `${turns} turns`)
})

test('a model that becomes slow blocks the event loop for one run only', async () => {
  const model = openSync(slow.source)
  for (let i = 0; i < 20; i++)
    await Promise.all(Array.from({ length: 10 }, () => model.run(slow.inputsFor(0))))
  // The time of this turn is spent on another model, so the slow runs wait for a later one.
  const other = openSync(modelPath('add.onnx'))
  for (let i = 0; i < 2_000; i++) other.run({ x: add.x })
  assert.equal(await slow.numAborted(model, 10, 300, runs => runs[0]), 9)
})

test('timers fire during a long series of fast runs', async () => {
  const model = openSync(modelPath('add.onnx'))
  let fired = false
  setTimeout(() => (fired = true), 2)
  let runs = 0
  while (!fired && runs < 3_000_000) {
    await model.run({ x: add.x })
    runs += 1
  }
  assert.ok(fired, `no timer in ${runs} runs`)
})

test('open does not block the event loop', async () => {
  const openTwenty = async () => {
    for (let i = 0; i < 20; ++i) await open(modelPath('penguins.onnx'))
  }
  const turns = await turnsDuring(openTwenty())
  assert.ok(turns >= 10, `${turns} turns`)
})

test('runs beyond the queue of the pool wait for their turn, and each gets its own answer', async () => {
  const model = openSync(slow.source)
  const runs = Array.from({ length: 3_000 }, async (_, i) => {
    const { y } = await model.run(slow.inputsFor(i % 7 === 0 ? 0.5 : 0, Float32Array.of(i, i + 1)))
    assert.deepEqual([y[0], y[1]], [i, i + 1])
  })
  await Promise.all(runs)
})

test('runs beyond the limit of waiting runs are refused with BUSY, whether they are short or long', async () => {
  for (const [model, inputs] of [
    [openSync(modelPath('add.onnx')), { x: add.x }],
    [openSync(slow.source), slow.inputsFor(1, Float32Array.of(1, 2))]
  ]) {
    for (let i = 0; i < 2_000; i++) await model.run(inputs)
    const outcomes = await Promise.all(
      Array.from({ length: 20_000 }, () =>
        model.run(inputs).then(
          () => 'done',
          error => error.code
        )
      )
    )
    assert.deepEqual(new Set(outcomes), new Set(['done', 'BUSY']))
    assert.ok(outcomes.filter(outcome => outcome === 'done').length >= 16_384)
    await model.run(inputs)
  }
})

test('runs of several models and calls share the pool', async () => {
  const models = Array.from({ length: 5 }, () => openSync(slow.source))
  const calls = models.flatMap(model => Array.from({ length: 10 }, () => model.call()))
  await Promise.all(
    calls.map(async (call, i) => {
      call.reshape('x', [1])[0] = i
      call.inputs.n[0] = BigInt((i % 5) * 20)
      await call.run()
      assert.equal(call.outputs.y[0], i)
      call.close()
    })
  )
})

test('a pending run keeps the process alive until it is over', async () => {
  const done = await runScript(
    "sidecall.openSync(slow.source).run(slow.inputsFor(50)).then(({ y }) => console.log('done', y.length))"
  )
  assert.deepEqual(done, { code: 0, signal: null, out: 'done 10000\n', err: '' })
})

test('models, calls and views do not keep the process alive when no run is pending', async () => {
  const done = await runScript(`
    const model = sidecall.openSync(modelPath('add.onnx'))
    const call = model.call()
    globalThis.kept = [model, call, call.inputs.x, call.run().then(() => console.log('ran'))]`)
  assert.deepEqual(done, { code: 0, signal: null, out: 'ran\n', err: '' })
})

test('neither a success nor a failure prints anything', async () => {
  const done = await runScript(`
    const model = sidecall.openSync(modelPath('penguins.onnx'))
    for (const wrong of [{}, { year: 'x' }]) { try { model.predictSync(wrong) } catch {} }
    sidecall.open(modelPath('none.onnx')).catch(() => {})
    sidecall.openSync(modelPath('gather.onnx')).run({ at: [3] }).catch(() => {})`)
  assert.deepEqual(done, { code: 0, signal: null, out: '', err: '' })
})

// test: is a folder of engines/ that only test builds have, and that no language knows.
test('a new route needs nothing from this package', async () => {
  const model = await open('test:double?open_ms=10&run_ms=20')
  const answers = Promise.all(
    Array.from({ length: 40 }, (_, i) => model.run({ x: Float32Array.of(i) }))
  )
  assert.ok((await turnsDuring(answers)) > 2)
  assert.deepEqual(
    (await answers).map(({ y }) => y[0]),
    Array.from({ length: 40 }, (_, i) => 2 * i)
  )
  assert.deepEqual(model.runSync({ x: Float32Array.of(1, -2) }).y, Float32Array.of(2, -4))
  const late = await open('test:double?run_ms=60000')
  await assert.rejects(late.run({ x: Float32Array.of(1) }, { timeoutMs: 20 }), { code: 'TIMEOUT' })
  await assert.rejects(open('test:triple'), { code: 'INVALID_ARGUMENT' })
})
