// AbortSignal and timeoutMs on every asynchronous function: exactly one outcome each, in whatever
// order events occur.
'use strict'

const assert = require('node:assert/strict')
const { getEventListeners } = require('node:events')
const { setTimeout: sleep } = require('node:timers/promises')
const test = require('node:test')

const { open, openSync, SidecallError } = require('../../bindings/node')
const { modelPath } = require('./support/paths.js')
const slow = require('./support/slow.js')

const LONG = 60_000 // ms; no test waits that long
const x = Float32Array.of(1, 2)
const RECORD = { x0: 1, x1: 2 }

/** 'done', the reason of an abort, or the code of an error. */
async function outcomeOf(promise) {
  try {
    await promise
    return 'done'
  } catch (error) {
    return error instanceof SidecallError ? error.code : error
  }
}

async function assertWorks(model) {
  const { y } = await model.run(slow.inputsFor(0, Float32Array.of(7)))
  assert.equal(y[0], 7)
  assert.equal(model.runSync(slow.inputsFor(0, Float32Array.of(8))).y[0], 8)
}

test('a signal that was aborted before the call rejects with its reason, and nothing runs', async () => {
  const model = openSync(slow.source)
  const reason = new Error('no longer wanted')
  const call = model.call()
  const options = { signal: AbortSignal.abort(reason) }
  await assert.rejects(model.run(slow.inputsFor(LONG), options), error => error === reason)
  await assert.rejects(call.run(options), error => error === reason)
  await assert.rejects(
    openSync(modelPath('prediction_wide.onnx')).predict(RECORD, options),
    error => error === reason
  )
  await assert.rejects(open(slow.source, options), error => error === reason)
  await assert.rejects(model.run(slow.inputsFor(1), { signal: AbortSignal.abort() }), {
    name: 'AbortError'
  })
  assert.equal(
    await outcomeOf(model.run(slow.inputsFor(1), { signal: AbortSignal.abort('why') })),
    'why'
  )
  await assertWorks(model)
})

test('an abort during a run rejects with the reason and stops the engine', async () => {
  const model = openSync(slow.source)
  const controller = new AbortController()
  const run = model.run(slow.inputsFor(LONG), { signal: controller.signal })
  await sleep(5)
  controller.abort('enough')
  assert.equal(await outcomeOf(run), 'enough')
  await assertWorks(model)
})

test('an abort right after the start, in the same turn, rejects the run', async () => {
  const model = openSync(slow.source)
  const controller = new AbortController()
  const run = model.run(slow.inputsFor(LONG), { signal: controller.signal })
  controller.abort('at once')
  assert.equal(await outcomeOf(run), 'at once')
  await assertWorks(model)
})

test('an abort after the end changes nothing', async () => {
  const model = openSync(slow.source)
  const controller = new AbortController()
  const { y } = await model.run(slow.inputsFor(1, Float32Array.of(3)), {
    signal: controller.signal
  })
  controller.abort()
  await sleep(5)
  assert.equal(y[0], 3)
  await assertWorks(model)
})

test('one signal ends many runs, also those that wait for a place in the queue', async () => {
  const model = openSync(slow.source)
  const controller = new AbortController()
  const runs = Array.from({ length: 1_500 }, () =>
    outcomeOf(model.run(slow.inputsFor(LONG, Float32Array.of(1)), { signal: controller.signal }))
  )
  await sleep(20)
  controller.abort('all')
  assert.deepEqual(new Set(await Promise.all(runs)), new Set(['all']))
  assert.equal(getEventListeners(controller.signal, 'abort').length, 0)
  await assertWorks(model)
})

test('a signal used 10 000 times keeps no listener', async () => {
  const warnings = []
  const note = warning => warnings.push(warning)
  process.on('warning', note)
  const model = openSync(modelPath('add.onnx'))
  const slower = openSync(slow.source)
  const call = model.call()
  const { signal } = new AbortController()
  for (let i = 0; i < 10_000; i++) await model.run({ x }, { signal })
  for (let i = 0; i < 300; i++) await slower.run(slow.inputsFor(0.2, x), { signal })
  for (let i = 0; i < 300; i++) await call.run({ signal })
  for (let i = 0; i < 20; i++)
    await (await open(modelPath('add.onnx'), { signal }))
      .run({ x: [1] }, { signal })
      .catch(() => {})
  assert.equal(getEventListeners(signal, 'abort').length, 0)
  await sleep(1)
  process.removeListener('warning', note)
  assert.deepEqual(warnings, [])
})

test('an abort that races with the end gives one of the two outcomes, and the model stays usable', async () => {
  const model = openSync(slow.source)
  const seen = new Set()
  for (let i = 0; i < 150; i++) {
    const controller = new AbortController()
    const run = outcomeOf(model.run(slow.inputsFor(1, x), { signal: controller.signal }))
    const wait = sleep((i % 15) / 5).then(() => controller.abort('raced'))
    seen.add(await run)
    await wait
    assert.equal(getEventListeners(controller.signal, 'abort').length, 0)
  }
  for (const outcome of seen) assert.ok(outcome === 'done' || outcome === 'raced', String(outcome))
  await assertWorks(model)
})

test('a deadline that passes fails synchronous and asynchronous runs with TIMEOUT', async () => {
  const model = openSync(slow.source)
  const call = model.call()
  call.reshape('x', [slow.WIDTH])
  call.inputs.n[0] = 10_000_000n
  const expected = { name: 'SidecallError', code: 'TIMEOUT', family: 'channel', retryable: true }
  assert.throws(() => model.runSync(slow.inputsFor(LONG), { timeoutMs: 5 }), expected)
  assert.throws(() => call.runSync({ timeoutMs: 2.5 }), expected)
  await assert.rejects(model.run(slow.inputsFor(LONG), { timeoutMs: 5 }), expected)
  await assert.rejects(call.run({ timeoutMs: 0.01 }), expected)
  await assertWorks(model)
})

test('a very distant deadline does not fail a run', async () => {
  const model = openSync(slow.source)
  for (const timeoutMs of [60_000, 1e9, Number.MAX_SAFE_INTEGER, Number.POSITIVE_INFINITY]) {
    assert.equal((await model.run(slow.inputsFor(1, Float32Array.of(4)), { timeoutMs })).y[0], 4)
    assert.equal(model.runSync(slow.inputsFor(0, Float32Array.of(5)), { timeoutMs }).y[0], 5)
  }
})

test('the deadline given to open applies to runs that set none', async () => {
  const model = openSync(slow.source, { timeoutMs: 5 })
  await assert.rejects(model.run(slow.inputsFor(LONG)), { code: 'TIMEOUT' })
  assert.throws(() => model.runSync(slow.inputsFor(LONG)), { code: 'TIMEOUT' })
  assert.equal((await model.run(slow.inputsFor(20, x), { timeoutMs: 60_000 })).y[1], 2)
})

test('a call after its run was aborted runs again', async () => {
  const call = openSync(slow.source).call()
  call.reshape('x', [2]).set([3, 4])
  for (let i = 0; i < 20; i++) {
    call.inputs.n[0] = 10_000_000n
    const controller = new AbortController()
    const run = outcomeOf(call.run({ signal: controller.signal, timeoutMs: i % 2 ? 3 : undefined }))
    await sleep(i % 5)
    controller.abort('stop')
    assert.ok(['stop', 'TIMEOUT'].includes(await run))
    // The call is busy until the engine releases it.
    let isReady = false
    while (!isReady) {
      try {
        call.inputs.n[0] = 1n
        await call.run()
        isReady = true
      } catch (error) {
        assert.equal(error.code, 'BUSY')
        await sleep(1)
      }
    }
    assert.deepEqual([...call.outputs.y], [3, 4])
  }
})

test('a run with both an abort and a deadline ends with exactly one outcome', async () => {
  const model = openSync(slow.source)
  for (let i = 0; i < 60; i++) {
    const controller = new AbortController()
    const run = outcomeOf(
      model.run(slow.inputsFor(LONG), { signal: controller.signal, timeoutMs: 3 })
    )
    await sleep(i % 6)
    controller.abort('stop')
    assert.ok(['stop', 'TIMEOUT'].includes(await run))
  }
  await assertWorks(model)
})

test('the signals of AbortSignal.timeout and AbortSignal.any end a run', async () => {
  const model = openSync(slow.source)
  await assert.rejects(model.run(slow.inputsFor(LONG), { signal: AbortSignal.timeout(5) }), {
    name: 'TimeoutError'
  })
  const controller = new AbortController()
  const run = model.run(slow.inputsFor(LONG), {
    signal: AbortSignal.any([controller.signal, AbortSignal.timeout(LONG)])
  })
  controller.abort('any')
  assert.equal(await outcomeOf(run), 'any')
})

test('an abort listener of the caller may close, run and abort', async () => {
  const model = openSync(slow.source)
  const controller = new AbortController()
  let inner
  controller.signal.addEventListener('abort', () => {
    inner = outcomeOf(model.run(slow.inputsFor(LONG), { signal: controller.signal }))
    model.close()
  })
  const run = outcomeOf(model.run(slow.inputsFor(LONG), { signal: controller.signal }))
  await sleep(2)
  controller.abort('re-entered')
  assert.equal(await run, 're-entered')
  assert.equal(await inner, 're-entered')
})

test('a signal that is not an AbortSignal is a TypeError', async () => {
  const model = openSync(modelPath('add.onnx'))
  for (const signal of [null, 1, 'abort', {}, { aborted: false }, new AbortController()]) {
    await assert.rejects(async () => model.run({ x }, { signal }), TypeError)
    await assert.rejects(async () => open(modelPath('add.onnx'), { signal }), TypeError)
  }
})

test('an aborted open leaves nothing behind', async () => {
  for (let i = 0; i < 30; i++) {
    const controller = new AbortController()
    const opening = outcomeOf(open(modelPath('penguins.onnx'), { signal: controller.signal }))
    if (i % 3 === 1) await sleep(0)
    if (i % 3 === 2) await sleep(1)
    controller.abort('not now')
    assert.ok(['not now', 'done'].includes(await opening))
    assert.equal(getEventListeners(controller.signal, 'abort').length, 0)
  }
  assert.equal((await open(modelPath('add.onnx'))).runSync({ x }).y.length, 2)
})
