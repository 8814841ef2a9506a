// Memory that JavaScript sees: views outlive calls, models and garbage collection, and later runs
// do not change them.
'use strict'

const assert = require('node:assert/strict')
const test = require('node:test')

const { openSync } = require('../../bindings/node')
const { modelPath } = require('./support/paths.js')
const slow = require('./support/slow.js')

assert.equal(typeof globalThis.gc, 'function', 'expected node --expose-gc')

async function collect() {
  for (let i = 0; i < 4; i++) {
    globalThis.gc()
    await new Promise(setImmediate)
  }
}

/** Runs other calls, so that freed memory is written again. */
function overwrite(value, width) {
  const model = openSync(slow.source)
  for (let i = 0; i < 20; i++) {
    const call = model.call()
    call.reshape('x', [width]).fill(value)
    call.inputs.n[0] = 0n
    call.runSync()
    assert.equal(call.outputs.y[width - 1], value)
    call.close()
  }
}

function viewsOfClosedCall(width) {
  const model = openSync(slow.source)
  const call = model.call()
  const x = call.reshape('x', [width])
  x.fill(0.25)
  call.inputs.n[0] = 1n
  call.runSync()
  const views = { x, n: call.inputs.n, y: call.outputs.y }
  call.close()
  model.close()
  return views
}

for (const width of [1, 64, 10_000, 3_000_000]) {
  test(`views of ${width} elements outlive their call and model`, async () => {
    const views = viewsOfClosedCall(width)
    await collect()
    overwrite(9, width)
    await collect()
    assert.equal(views.n[0], 1n)
    for (const view of [views.x, views.y]) {
      assert.equal(view.length, width)
      assert.ok(view.every(value => value === 0.25))
    }
    views.x.fill(1) // writing must not crash
    views.y.fill(2)
    overwrite(8, width)
    assert.ok(views.x.every(value => value === 1) && views.y.every(value => value === 2))
  })
}

test('a view keeps the memory of a call that was garbage-collected', async () => {
  let view = (() => {
    const call = openSync(slow.source).call()
    call.reshape('x', [1000]).fill(3)
    call.inputs.n[0] = 0n
    call.runSync()
    return call.outputs.y
  })()
  await collect()
  overwrite(5, 1000)
  assert.ok(view.every(value => value === 3))
  view = view.subarray(10, 20)
  await collect()
  overwrite(6, 1000)
  assert.deepEqual([...view], Array(10).fill(3))
})

test('a later run does not change the outputs of an earlier run', async () => {
  const model = openSync(slow.source)
  const first = model.runSync(slow.inputsFor(0, Float32Array.of(1, 2))).y
  const second = (await model.run(slow.inputsFor(0, Float32Array.of(3, 4)))).y
  const third = (await model.run(slow.inputsFor(2, Float32Array.of(5, 6)))).y
  model.close()
  await collect()
  assert.deepEqual([[...first], [...second], [...third]], [[1, 2], [3, 4], [5, 6]]) // biome-ignore format: one line
  assert.equal(new Set([first.buffer, second.buffer, third.buffer]).size, 3)
  first[0] = 99
  assert.equal(second[0], 3)
})

test('an output that equals the input is a copy, not the memory of the caller', () => {
  const model = openSync(modelPath('identity_float32.onnx'))
  const x = Float32Array.of(1, 2, 3)
  const { y } = model.runSync({ x })
  x.fill(0)
  assert.deepEqual([...y], [1, 2, 3])
  y.fill(7)
  assert.deepEqual([...x], [0, 0, 0])
})

test('views of a call are reused by the next run', async () => {
  const call = openSync(slow.source).call()
  const x = call.reshape('x', [2])
  call.inputs.n[0] = 0n
  x.set([1, 2])
  call.runSync()
  const y = call.outputs.y
  assert.equal(call.outputs.y, y)
  x.set([3, 4])
  call.runSync()
  assert.deepEqual([...y], [3, 4])
  x.set([5, 6])
  await call.run()
  assert.deepEqual([...call.outputs.y], [5, 6])
})

test('reshape returns a new view, and the old view keeps its memory but is no longer read', () => {
  const call = openSync(slow.source).call()
  const old = call.reshape('x', [2])
  old.set([1, 2])
  const view = call.reshape('x', [3])
  assert.notEqual(view, old)
  assert.equal(call.inputs.x, view)
  assert.equal(view.length, 3)
  view.set([7, 8, 9])
  old.fill(100)
  call.inputs.n[0] = 0n
  call.runSync()
  assert.deepEqual([...call.outputs.y], [7, 8, 9])
  const y = call.outputs.y
  call.reshape('x', [1]).set([4])
  call.runSync()
  assert.deepEqual([...call.outputs.y], [4])
  assert.deepEqual([...y], [7, 8, 9])
  assert.deepEqual([...old], [100, 100])
})

test('inputs that a program does not write are missing, as in a record', () => {
  const model = openSync(modelPath('penguins.onnx'))
  const call = model.call({ rows: 2 })
  const expected = model.predictSync([{ island: 'Biscoe', bill_length_mm: 48.2 }, {}])
  call.inputs.island = ['Biscoe', null]
  call.inputs.bill_length_mm[0] = 48.2
  call.runSync()
  const { label, probabilities } = call.outputs
  assert.deepEqual(
    [...label],
    expected.map(answer => answer.label)
  )
  assert.equal(probabilities[2], expected[0].probabilities.Gentoo)
  call.reshape('bill_length_mm', [2, 1])
  assert.ok(call.inputs.bill_length_mm.every(Number.isNaN))
})

test('a number that may not be missing must be written', () => {
  const model = openSync(modelPath('gbm.onnx'))
  const call = model.call({ rows: 1 })
  const name = model.signature.features[1].name
  assert.throws(() => call.runSync(), { code: 'MISSING_VALUE' })
  call.inputs.X.fill(1)
  call.inputs.X[1] = Number.NaN
  assert.throws(() => call.runSync(), { code: 'MISSING_VALUE', feature: name })
  call.inputs.X[1] = 1
  call.runSync()
})

test('inputs of a new call are all zero without a contract', () => {
  for (let i = 0; i < 50; i++) {
    const call = openSync(slow.source).call()
    assert.ok(call.reshape('x', [1000]).every(value => value === 0))
    assert.equal(call.inputs.n[0], 0n)
    call.inputs.x.fill(i + 1)
    call.close()
  }
})

test('a call outlives its model', async () => {
  const model = openSync(modelPath('identity_float32.onnx'))
  const call = model.call({ rows: 2 })
  model.close()
  await collect()
  call.inputs.x.set([1, 2])
  call.runSync()
  assert.deepEqual([...call.outputs.y], [1, 2])
  await call.run()
  assert.deepEqual([...call.outputs.y], [1, 2])
})

test('a pending run outlives its call, its model and its inputs', async () => {
  const runs = Array.from({ length: 10 }, (_, i) =>
    openSync(slow.source).run(slow.inputsFor(10, new Float32Array(100_000).fill(i)))
  )
  const lone = (() => {
    const call = openSync(slow.source).call()
    call.reshape('x', [1000]).fill(4)
    call.inputs.n[0] = 2000n
    return call.run().then(() => call.outputs.y)
  })()
  await collect()
  for (const [i, { y }] of (await Promise.all(runs)).entries())
    assert.ok(y.every(value => value === i))
  assert.ok((await lone).every(value => value === 4))
})

test('closing a model does not end a run', async () => {
  const model = openSync(slow.source)
  const run = model.run(slow.inputsFor(30, Float32Array.of(6)))
  model.close()
  await collect()
  assert.equal((await run).y[0], 6)
})

test('a call that is closed during its run gives the run exactly one outcome', async () => {
  const model = openSync(slow.source)
  for (let i = 0; i < 20; i++) {
    const call = model.call()
    call.reshape('x', [100]).fill(1)
    call.inputs.n[0] = BigInt(i * 100)
    const run = call.run().then(
      () => 'done',
      error => error.code
    )
    call.close()
    assert.ok(['done', 'CANCELLED', 'INVALID_ARGUMENT'].includes(await run))
    assert.throws(() => call.runSync(), { code: 'INVALID_ARGUMENT' })
    call.close()
  }
})
