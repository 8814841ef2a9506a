// The inputs of `run`: types, shapes, names, plain arrays. A wrong tensor is a SidecallError that
// names its input, even if its getters run code.
'use strict'

const assert = require('node:assert/strict')
const test = require('node:test')

const { openSync, SidecallError } = require('../../bindings/node')
const { identity } = require('./support/models.js')
const { modelPath } = require('./support/paths.js')

const add = openSync(modelPath('add.onnx'))
const x = Float32Array.of(1, 2)

/** Both functions fail alike: the synchronous one throws, the asynchronous one rejects. */
async function bothThrow(sync, async, expected) {
  assert.throws(sync, expected)
  await assert.rejects(async, expected)
}

test('values that are not tensors, or of another type, are refused', async () => {
  const wrong = [
    [1, 'DTYPE_MISMATCH'], ['x', 'DTYPE_MISMATCH'], [null, undefined], [undefined, undefined], [{}, 'DTYPE_MISMATCH'], [{ dims: [1, 2] }, 'DTYPE_MISMATCH'],
    [Float64Array.of(1e300, 1), 'OUT_OF_RANGE'], [new Int32Array(2), 'DTYPE_MISMATCH'], [new BigInt64Array(2), 'DTYPE_MISMATCH'], [new Uint8ClampedArray(2), 'DTYPE_MISMATCH'],
    [new DataView(new ArrayBuffer(8)), 'DTYPE_MISMATCH'], [new ArrayBuffer(8), 'DTYPE_MISMATCH'], [['1', '2'], 'DTYPE_MISMATCH'], [[true, false], 'DTYPE_MISMATCH'],
    [[[1, 2], [3]], 'SHAPE_MISMATCH'], [[1, [2]], 'SHAPE_MISMATCH'], [[1e300, 1], 'OUT_OF_RANGE'], [new Array(2), 'DTYPE_MISMATCH'], [[undefined, 1], 'DTYPE_MISMATCH'],
    [new Float32Array(3), 'SHAPE_MISMATCH'], [{ data: x, dims: [2] }, 'SHAPE_MISMATCH'], [{ data: x, dims: [2, 2] }, 'SHAPE_MISMATCH'], [{ data: x, dims: [0, 2] }, 'SHAPE_MISMATCH'],
    [[], 'SHAPE_MISMATCH'], [new Float32Array(0), 'SHAPE_MISMATCH'], [{ data: x, dims: [2 ** 53 - 1, 2] }, undefined], [{ data: x, dims: Array(40).fill(1) }, 'SHAPE_MISMATCH']
  ] // biome-ignore format: one table
  for (const [value, code] of wrong) {
    const expected = error =>
      error instanceof SidecallError && (code === undefined || error.code === code)
    assert.throws(() => add.runSync({ x: value }), expected)
    await assert.rejects(async () => add.run({ x: value }), expected)
    assert.deepEqual(add.runSync({ x }).y.length, 2)
  }
  for (const dims of [1, 'x', {}, [1.5, 2], [-1, 2], ['1', 2], [1n, 2]]) {
    await bothThrow(
      () => add.runSync({ x: { data: x, dims } }),
      async () => add.run({ x: { data: x, dims } }),
      error => error instanceof TypeError || error instanceof SidecallError
    )
  }
})

test('null, undefined and NaN among the strings of a feature are missing values', async () => {
  const model = openSync(modelPath('limits.onnx'))
  const one = { X: [[0.5, 1]], level: [[0.2]], ratio: [[0.5]], step: [[2]], years: [[2000]] }
  const given = { ...one, count: [[5]], word: [['a']], note: ['b'] }
  const noteOf = outputs => outputs.transformed[8]
  assert.equal(noteOf(model.runSync(given)), 1)
  for (const missing of [null, undefined, Number.NaN]) {
    for (const note of [[missing], { data: [missing], dims: [1] }]) {
      assert.equal(noteOf(model.runSync({ ...given, note })), -1)
      assert.equal(noteOf(await model.run({ ...given, note })), -1)
    }
    const refused = { code: 'MISSING_VALUE', feature: 'word' }
    await bothThrow(
      () => model.runSync({ ...given, word: [[missing]] }),
      async () => model.run({ ...given, word: [[missing]] }),
      refused
    )
  }
  // An empty string is a value. A model without a contract has no missing values.
  assert.equal(noteOf(model.runSync({ ...given, note: [''] })), 1)
  const strings = openSync(modelPath('identity_string.onnx'))
  assert.throws(() => strings.runSync({ x: ['a', null] }), { code: 'DTYPE_MISMATCH', feature: 'x' })
})

test('null among the strings that a call is given is a missing value', () => {
  const model = openSync(modelPath('limits.onnx'))
  const call = model.call()
  const numbers = { X: [0.5, 1], level: [0.2], ratio: [0.5], step: [2], years: [2000], count: [5n] }
  for (const [name, values] of Object.entries(numbers)) call.inputs[name].set(values)
  call.inputs.word = ['a']
  call.inputs.note = [null]
  call.runSync()
  assert.equal(call.outputs.transformed[8], -1)
  call.inputs.word = [null]
  assert.throws(() => call.runSync(), { code: 'MISSING_VALUE', feature: 'word' })
  call.inputs.word = ['a']
  call.inputs.note = ['b']
  call.runSync()
  assert.equal(call.outputs.transformed[8], 1)
})

test('unknown and missing names of inputs are refused', async () => {
  await bothThrow(
    () => add.runSync({ x, y: x }),
    async () => add.run({ x, y: x }),
    { code: 'UNKNOWN_NAME', feature: 'y' }
  )
  await bothThrow(
    () => add.runSync({}),
    async () => add.run({}),
    { code: 'MISSING_INPUT', feature: 'x' }
  )
  await bothThrow(
    () => add.runSync(Object.create({ x })),
    async () => add.run(Object.create({ x })),
    { code: 'MISSING_INPUT' }
  )
  const proto = openSync(identity({ dims: ['N'], x: '__proto__', y: 'constructor' }))
  assert.deepEqual([...proto.runSync(JSON.parse('{"__proto__": [1, 2]}')).constructor], [1, 2])
  assert.throws(() => proto.runSync({}), { code: 'MISSING_INPUT' })
  const call = proto.call()
  Object.getOwnPropertyDescriptor(call.inputs, '__proto__').get?.call(call.inputs)
  assert.ok(Object.keys(call.inputs).includes('__proto__'))
  const backwards = openSync(identity({ x: 'a', y: '__proto__' }))
  assert.deepEqual(Object.keys(backwards.runSync({ a: [3] })), ['__proto__'])
})

test('plain arrays, nested or flat, are converted for every type, and values that do not fit are refused', () => {
  const run = (dtype, data) => openSync(modelPath(`identity_${dtype}.onnx`)).runSync({ x: data }).y
  assert.deepEqual([...run('int64', [1, 2n, -(2n ** 63n)])], [1n, 2n, -(2n ** 63n)])
  assert.deepEqual([...run('uint64', [2n ** 64n - 1n, 0])], [2n ** 64n - 1n, 0n])
  assert.deepEqual([...run('bool', [true, false])], [1, 0])
  assert.deepEqual([...run('string', ['a', ''])], ['a', ''])
  assert.deepEqual([...run('float64', [Number.NaN, 1, -0])], [Number.NaN, 1, -0])
  assert.deepEqual([...run('int8', [-128, 127])], [-128, 127])
  for (const [dtype, value, code] of [
    ['int8', 128, 'OUT_OF_RANGE'],
    ['uint8', -1, 'OUT_OF_RANGE'],
    ['int8', 1.5, 'DTYPE_MISMATCH'],
    ['int64', 2 ** 53, 'OUT_OF_RANGE'],
    ['float32', 10n ** 400n, 'OUT_OF_RANGE'],
    ['float64', -(10n ** 400n), 'OUT_OF_RANGE'],
    ['float32', -1e39, 'OUT_OF_RANGE'],
    ['int64', 2n ** 63n, 'OUT_OF_RANGE'],
    ['uint64', -1n, 'OUT_OF_RANGE'],
    ['uint32', 2 ** 32, 'OUT_OF_RANGE'],
    ['bool', 1, 'DTYPE_MISMATCH'],
    ['string', 1, 'DTYPE_MISMATCH'],
    ['float32', true, 'DTYPE_MISMATCH'],
    ['int32', Number.NaN, 'DTYPE_MISMATCH'],
    ['string', '\0', 'INVALID_STRING'],
    ['string', '\ud800', 'INVALID_STRING'],
    ['float32', {}, 'DTYPE_MISMATCH']
  ]) {
    // biome-ignore format: one table
    assert.throws(() => run(dtype, [value]), { name: 'SidecallError', code, feature: 'x' }, `${dtype} ${String(value)}`)
  }
})

test('float16 is a Float16Array if Node has one, otherwise a Uint16Array', () => {
  const model = openSync(modelPath('identity_float16.onnx'))
  const { y } = model.runSync({ x: Uint16Array.of(0x3c00, 0xfbff) })
  const Half = globalThis.Float16Array ?? Uint16Array
  assert.equal(y.constructor, Half)
  assert.deepEqual([...new Uint16Array(y.buffer, y.byteOffset, y.length)], [0x3c00, 0xfbff])
  if (Half !== Uint16Array) {
    assert.deepEqual([...model.runSync({ x: Half.of(1, -2) }).y], [1, -2])
    assert.deepEqual([...model.runSync({ x: [0.5] }).y], [0.5])
  }
})

test('each input is read only once, and an error of its getter reaches the caller unchanged', async () => {
  let reads = 0
  const inputs = {
    get x() {
      reads += 1
      return x
    }
  }
  add.runSync(inputs)
  await add.run(inputs)
  assert.equal(reads, 2)
  const mine = new Error('of the user')
  const spoilt = {
    get x() {
      throw mine
    }
  }
  await bothThrow(
    () => add.runSync(spoilt),
    async () => add.run(spoilt),
    error => error === mine
  )
  const array = [1, 2]
  Object.defineProperty(array, 1, {
    get() {
      throw mine
    }
  })
  await bothThrow(
    () => add.runSync({ x: array }),
    async () => add.run({ x: array }),
    error => error === mine
  )
})

test('the getter of an input may close the model or run it', async () => {
  const closing = openSync(modelPath('add.onnx'))
  const inputs = {
    get x() {
      closing.close()
      return x
    }
  }
  try {
    assert.equal(closing.runSync(inputs).y.length, 2)
  } catch (error) {
    assert.equal(error.code, 'INVALID_ARGUMENT')
  }
  await assert.rejects(async () => closing.run(inputs), { code: 'INVALID_ARGUMENT' })
  const identityModel = openSync(modelPath('identity_float32.onnx'))
  const nested = {
    get x() {
      assert.deepEqual([...identityModel.runSync({ x: [7, 8, 9] }).y], [7, 8, 9])
      return [1]
    }
  }
  assert.deepEqual([...identityModel.runSync(nested).y], [1])
  assert.deepEqual([...(await identityModel.run(nested)).y], [1])
})
