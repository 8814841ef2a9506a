// A number gets the same answer in a typed array of either float type, a plain array and a record,
// for inputs of both float types.
'use strict'

const assert = require('node:assert/strict')
const test = require('node:test')

const { openSync, SidecallError } = require('../../bindings/node')
const { modelPath } = require('./support/paths.js')

const narrow = openSync(modelPath('floats_float32.onnx'))
const wide = openSync(modelPath('floats_float64.onnx'))
const bareNarrow = openSync(modelPath('identity_float32.onnx'))
const bareWide = openSync(modelPath('identity_float64.onnx'))
const BIG = 100_000 // elements; a synchronous run reads an array of this size in place
const NUMBERS = [
  0.1,
  7.315,
  -1e-3,
  1 + 2 ** -24,
  1 + 3 * 2 ** -24,
  1e-45,
  5e-324,
  16777217.5,
  3.4e38,
  0,
  -0,
  Infinity,
  -Infinity
]

/** The value that the input tensor holds for the number x. All ways to pass x must agree. */
async function heldBy(model, x, { asFloat32 = false } = {}) {
  const Class = asFloat32 ? Float32Array : Float64Array
  const data = Class.of(x, 1)
  const ways = [
    model.runSync({ X: data }),
    model.runSync({ X: { data, dims: [1, 2] } }),
    await model.run({ X: data }),
    model.runSync({ X: [Math.fround(x) === x || !asFloat32 ? x : Math.fround(x), 1] })
  ].map(({ transformed }) => transformed[0])
  const call = model.call()
  call.inputs.X.set(data)
  call.runSync()
  ways.push(call.outputs.transformed[0])
  for (const held of ways) assert.ok(Object.is(held, ways[0]), `${x}: ${ways}`)
  return ways[0]
}

test('one number is the same in float32 and float64 arrays, plain arrays and records', async () => {
  for (const x of NUMBERS) {
    const rounded = Math.fround(x)
    assert.ok(Object.is(await heldBy(narrow, x), rounded), `${x} as double in a float32 input`)
    assert.ok(
      Object.is(await heldBy(narrow, x, { asFloat32: true }), rounded),
      `${x} as float32 in a float32 input`
    )
    assert.ok(Object.is(await heldBy(wide, x), x), `${x} as double in a float64 input`)
    assert.ok(
      Object.is(await heldBy(wide, x, { asFloat32: true }), rounded),
      `${x} as float32 in a float64 input`
    )
    for (const record of [
      { x, n: 1 },
      JSON.parse(JSON.stringify({ x: Number.isFinite(x) ? x : 0, n: 1 }))
    ]) {
      assert.equal(narrow.predictSync(record).transformed[0], Math.fround(record.x))
      assert.equal(wide.predictSync(record).transformed[0], record.x)
      assert.equal(
        (await narrow.predict([record, record]))[1].transformed[0],
        Math.fround(record.x)
      )
      assert.equal((await wide.predict([record, record]))[1].transformed[0], record.x)
    }
  }
  assert.ok(Number.isNaN(await heldBy(narrow, Number.NaN)))
  assert.ok(Number.isNaN(await heldBy(wide, Number.NaN, { asFloat32: true })))
})

test('arrays of changing length, shape and float type are converted in turn', async () => {
  for (const length of [1, 3, BIG, 3, BIG + 1]) {
    const doubles = Float64Array.from({ length }, (_, i) => i / 7)
    const floats = Float32Array.from(doubles)
    for (let turn = 0; turn < 2; ++turn) {
      assert.deepEqual(new Float32Array(bareNarrow.runSync({ x: doubles }).y), floats)
      assert.deepEqual(new Float32Array((await bareNarrow.run({ x: doubles })).y), floats)
      assert.deepEqual(new Float32Array(bareNarrow.runSync({ x: floats }).y), floats)
      assert.deepEqual(
        new Float64Array(bareWide.runSync({ x: floats }).y),
        Float64Array.from(floats)
      )
      assert.deepEqual(
        new Float64Array((await bareWide.run({ x: floats })).y),
        Float64Array.from(floats)
      )
      assert.deepEqual(new Float64Array(bareWide.runSync({ x: doubles }).y), doubles)
    }
  }
})

test('an asynchronous run has converted its input when it returns its promise', async () => {
  const doubles = new Float64Array(BIG).fill(0.1)
  const run = bareNarrow.run({ x: doubles })
  doubles.fill(7)
  assert.ok((await run).y.every(value => value === Math.fround(0.1)))
})

test('shared memory, subclasses and parts of a buffer are converted', () => {
  class Mine extends Float64Array {
    get length() {
      return 0
    }
  }
  const shared = new Float64Array(new SharedArrayBuffer(16))
  shared.set([0.1, 2])
  for (const data of [shared, Mine.of(0.1, 2), Float64Array.of(9, 0.1, 2, 9).subarray(1, 3)]) {
    assert.deepEqual([...bareNarrow.runSync({ x: data }).y], [Math.fround(0.1), 2])
  }
  shared[1] = 1e39
  assert.throws(() => bareNarrow.runSync({ x: shared }), { code: 'OUT_OF_RANGE' })
  const detached = Float64Array.of(1, 2)
  structuredClone(detached, { transfer: [detached.buffer] })
  assert.throws(() => bareNarrow.runSync({ x: detached }), { code: 'SHAPE_MISMATCH' })
})

test('a double beyond float32 is refused with the faults that records have', async () => {
  const finite = openSync(modelPath('floats_finite.onnx'))
  const data = Float64Array.of(0.5, 1, 1e39, 2, -1e39, 3)
  const records = [0, 2, 4].map(i => ({ x: data[i], n: data[i + 1] }))
  const failures = []
  for (const ask of [
    () => finite.predictSync(records),
    () => finite.runSync({ X: data }),
    () => finite.runSync({ X: [...data] }),
    () => finite.run({ X: data }),
    () => finite.runSync({ X: { data: [...data], dims: [3, 2] } })
  ]) {
    try {
      await ask()
    } catch (error) {
      failures.push(error)
    }
    // The model stays usable.
    assert.deepEqual([...finite.runSync({ X: [0.5, 1] }).transformed], [0.5, 1])
  }
  assert.equal(failures.length, 5)
  for (const failure of failures) {
    assert.ok(failure instanceof SidecallError)
    assert.equal(failure.code, 'OUT_OF_RANGE')
    assert.equal(failure.message, failures[0].message)
    assert.deepEqual(failure.faults, failures[0].faults)
  }
  assert.deepEqual(
    failures[0].faults.map(({ row, name }) => [row, name]),
    [
      [1, 'x'],
      [2, 'x']
    ]
  )
  assert.throws(() => bareNarrow.runSync({ x: Float64Array.of(1, 3.4028235677973366e38) }), {
    code: 'OUT_OF_RANGE',
    feature: 'x',
    message: "input 'x': expected float32, got a number beyond its range (row 1)"
  })
  assert.deepEqual([...wide.runSync({ X: data }).transformed], [...data])
})

test('typed arrays of other types are not converted', async () => {
  for (const [model, expected] of [
    [bareNarrow, 'float32'],
    [bareWide, 'float64']
  ]) {
    for (const [data, got] of [
      [Int32Array.of(1), 'int32'],
      [BigInt64Array.of(1n), 'int64'],
      [Uint8Array.of(1), 'uint8'],
      [Uint16Array.of(1), 'uint16']
    ]) {
      const message = `input 'x': expected ${expected}, got ${got}`
      assert.throws(() => model.runSync({ x: data }), { code: 'DTYPE_MISMATCH', message })
      await assert.rejects(async () => model.run({ x: data }), { code: 'DTYPE_MISMATCH', message })
    }
  }
  for (const dtype of ['int64', 'int32', 'uint8', 'string']) {
    for (const data of [Float32Array.of(1), Float64Array.of(1)]) {
      assert.throws(() => openSync(modelPath(`identity_${dtype}.onnx`)).runSync({ x: data }), {
        code: 'DTYPE_MISMATCH'
      })
    }
  }
})
