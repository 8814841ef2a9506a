// Memory use stays constant over many opens and many runs. SIDECALL_LONG=1 does ten million runs of
// each kind instead of a few hundred thousand.
'use strict'

const assert = require('node:assert/strict')
const test = require('node:test')

const { open, openSync } = require('../../bindings/node')
const { modelPath } = require('./support/paths.js')

const isLong = process.env.SIDECALL_LONG === '1'
const RUNS = isLong ? 10_000_000 : 300_000
const ASYNC_RUNS = isLong ? 1_000_000 : 30_000
const OPENS = 10_000
const SAMPLES = 12
const ALLOWED = 6 * 1024 * 1024 // bytes; a leak of 20 bytes per run would add up to this

async function settle() {
  for (let i = 0; i < 3; i++) {
    globalThis.gc()
    await new Promise(setImmediate)
  }
}

const median = values => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]

/**
 * Runs `step` many times in equal parts and measures memory after each part. Fails if the median of
 * the last third is more than ALLOWED above that of the second third; the first third is warm-up.
 * Medians are compared, because freed pages may stay with the allocator, so that a single
 * measurement may be high without a leak.
 */
async function assertFlat(times, step) {
  const samples = []
  for (let part = 0; part < SAMPLES; part++) {
    for (let i = 0; i < times / SAMPLES; i++) await step(i)
    await settle()
    samples.push(process.memoryUsage().rss)
  }
  const third = SAMPLES / 3
  const growth = median(samples.slice(2 * third)) - median(samples.slice(third, 2 * third))
  const shown = samples.map(bytes => (bytes / 2 ** 20).toFixed(1)).join(' ')
  assert.ok(growth < ALLOWED, `grew by ${growth} bytes; MiB: ${shown}`)
}

/** For synchronous steps: awaiting each step would take most of the time. */
const inBlocks = (block, step) => () => {
  for (let i = 0; i < block; i++) step(i)
}

const record = { x0: 1, x1: 2 }
const wide = openSync(modelPath('prediction_wide.onnx'))
const add = openSync(modelPath('add.onnx'))
const x = Float32Array.of(1, 2)

test('synchronous runs do not grow memory', () =>
  assertFlat(
    RUNS / 1000,
    inBlocks(1000, () => add.runSync({ x }))
  ))

test('predictions do not grow memory', () =>
  assertFlat(
    RUNS / 1000,
    inBlocks(1000, () => wide.predictSync(record))
  ))

test('runs of a call do not grow memory', () => {
  const call = add.call()
  return assertFlat(
    RUNS / 1000,
    inBlocks(1000, () => {
      call.inputs.x[0] = 1
      call.runSync()
      assert.equal(call.outputs.y.length, 2)
    })
  )
})

test('asynchronous runs, one after the other and together, do not grow memory', async () => {
  await assertFlat(ASYNC_RUNS, () => add.run({ x }))
  await assertFlat(ASYNC_RUNS / 50, () =>
    Promise.all(Array.from({ length: 50 }, () => wide.predict(record)))
  )
})

test('string tensors do not grow memory', () => {
  const model = openSync(modelPath('strings.onnx'))
  const inputs = { first: ['one', 'zwei'], second: ['größe', ''] }
  return assertFlat(
    RUNS / 10_000,
    inBlocks(1000, () => model.runSync(inputs))
  )
})

test('failures do not grow memory', () => {
  const options = { signal: new AbortController().signal }
  return assertFlat(RUNS / 50, async () => {
    assert.throws(() => wide.predictSync({ x0: 'x' }))
    assert.throws(() => add.runSync({ x: [1] }))
    await assert.rejects(add.run({ x: new Int8Array(2) }, options))
  })
})

test('the garbage collector frees large tensors in time', () => {
  const model = openSync(modelPath('identity_float32.onnx'))
  const large = new Float32Array(250_000)
  return assertFlat(isLong ? 6000 : 600, () => model.runSync({ x: large }))
})

test('a large list of records does not grow memory', async () => {
  const model = openSync(modelPath('penguins.onnx'))
  const bytes = async () => {
    await settle()
    return process.memoryUsage().arrayBuffers
  }
  model.predictSync([{ island: 'Dream' }])
  const before = await bytes()
  assert.equal(
    model.predictSync(Array.from({ length: 300_000 }, () => ({ island: 'Dream' }))).length,
    300_000
  )
  const after = await bytes()
  assert.ok(after - before < ALLOWED, `${after - before} bytes`)
})

test('calls that are closed or collected do not grow memory', () =>
  assertFlat(isLong ? 100_000 : 6000, i => {
    const call = add.call({ rows: 1000 })
    call.inputs.x.fill(1)
    call.runSync()
    assert.equal(call.outputs.y.length, 2000)
    if (i % 2 === 0) call.close()
  }))

test('10 000 opened models, closed or collected, do not grow memory', () => {
  const file = modelPath('add.onnx')
  return assertFlat(OPENS, async i => {
    const model = i % 10 === 0 ? await open(file) : openSync(file)
    if (i % 3 === 0) model.runSync({ x })
    if (i % 2 === 0) model.close()
  })
})

test('opens that fail do not grow memory', () => {
  const files = ['contracts/format_4.onnx', 'none.onnx', 'contracts/empty.onnx'].map(modelPath)
  return assertFlat(3000, async i => {
    assert.throws(() => openSync(files[i % 3]))
    if (i % 10 === 0) await assert.rejects(open(files[i % 3]))
  })
})
