// The values of a record: what each type accepts, what counts as missing, and how refusals are
// reported.
'use strict'

const assert = require('node:assert/strict')
const test = require('node:test')

const { openSync } = require('../../bindings/node')
const { failureOf } = require('./support/failures.js')
const { echo } = require('./support/models.js')
const { modelPath } = require('./support/paths.js')

const f32 = name => ({ name, type: 'float32' })
const pair = openSync(echo({ features: [f32('a'), f32('b')] }))
const integer = openSync(modelPath('kinds.onnx'))
const KINDS = { f32_must: 2, f64_must: 3, i64_must: 4, flag_must: false, word_must: 'b' }
const I64 = 7 // index of i64_must in the answer

const answerOf = record => pair.predictSync(record).prediction

test('a value of a wrong type is refused, and the error names its type', async () => {
  const values = [
    ['1', 'string'], [true, 'bool'], [[1], 'array'], [{}, 'object'], [new Date(0), 'Date'], [Object(1), 'Number'], [new Float32Array(1), 'Float32Array'],
    [() => 1, 'function'], [Symbol('s'), 'symbol'], [/x/, 'RegExp'], [new Proxy({}, {}), 'object'], [Object.create(null), 'object']
  ] // biome-ignore format: one table
  for (const [value, got] of values) {
    const failure = await failureOf(pair, { a: value, b: 2 })
    assert.deepEqual(
      [failure.code, failure.feature, failure.expected, failure.got],
      ['DTYPE_MISMATCH', 'a', 'float32', got]
    )
  }
  for (const value of [1, 1n, 'x', {}])
    assert.equal((await failureOf(integer, { ...KINDS, flag_must: value })).code, 'DTYPE_MISMATCH')
  for (const value of [1, 1n, true, []])
    assert.equal((await failureOf(integer, { ...KINDS, word_must: value })).code, 'DTYPE_MISMATCH')
  for (const value of [1.5, '1', true, -0.1])
    assert.equal((await failureOf(integer, { ...KINDS, i64_must: value })).code, 'DTYPE_MISMATCH')
})

test('a number in a string feature is called int64 if it is whole, otherwise float64', async () => {
  for (const [value, got] of [
    [3, 'int64'],
    [3n, 'int64'],
    [3.5, 'float64'],
    [-0, 'float64']
  ]) {
    const failure = await failureOf(integer, { ...KINDS, word_must: value })
    assert.equal(failure.message, `feature 'word_must': expected string, got ${got}`)
    assert.deepEqual([failure.faults[0].expected, failure.faults[0].got], ['string', got])
  }
})

test('valueOf and toString of a value are never called', async () => {
  const touchy = {
    valueOf() {
      throw new Error('touched')
    },
    toString() {
      throw new Error('touched')
    },
    [Symbol.toPrimitive]() {
      throw new Error('touched')
    }
  }
  assert.equal((await failureOf(pair, { a: touchy, b: 2 })).code, 'DTYPE_MISMATCH')
  assert.equal((await failureOf(pair, { a: 1, b: 2, c: touchy })).code, 'UNKNOWN_NAME')
})

test('absent, null, undefined and NaN all count as missing', async () => {
  for (const record of [
    { b: 1 },
    { a: null, b: 1 },
    { a: undefined, b: 1 },
    { a: Number.NaN, b: 1 }
  ]) {
    const failure = await failureOf(pair, record)
    assert.deepEqual(
      [failure.code, failure.feature, failure.got],
      ['MISSING_VALUE', 'a', 'a missing value']
    )
  }
  const nothing = integer.predictSync(KINDS)
  for (const value of [null, undefined, Number.NaN]) {
    assert.deepEqual(integer.predictSync({ ...KINDS, f32: value, f64: value, i64: value }), nothing)
  }
  for (const value of [null, undefined])
    assert.deepEqual(integer.predictSync({ ...KINDS, flag: value, word: value }), nothing)
})

test('integers are accepted as numbers below 2^53 and as bigints of 64 bits', async () => {
  const cast = value => integer.predictSync({ ...KINDS, i64_must: value }).transformed[I64]
  for (const value of [0, -5, 2 ** 53 - 1, -(2 ** 53) + 1]) assert.equal(cast(value), value)
  assert.ok(Object.is(cast(-0), 0))
  for (const value of [5n, -(2n ** 63n), 2n ** 62n]) assert.equal(cast(value), Number(value))
  for (const value of [
    2 ** 53,
    2 ** 53 + 2,
    -(2 ** 53),
    2 ** 63,
    1e300,
    Number.POSITIVE_INFINITY,
    2n ** 63n,
    -(2n ** 63n) - 1n,
    2n ** 200n
  ]) {
    const failure = await failureOf(integer, { ...KINDS, i64_must: value })
    assert.deepEqual(
      [String(value), failure.code, failure.feature],
      [String(value), 'OUT_OF_RANGE', 'i64_must']
    )
  }
})

test('floats take numbers and bigints that they can hold, and refuse larger ones', async () => {
  assert.deepEqual(answerOf({ a: 3n, b: -(2n ** 24n) }), [3, -(2 ** 24)])
  assert.ok(Object.is(answerOf({ a: -0, b: 0 })[0], -0))
  assert.deepEqual(answerOf({ a: Number.POSITIVE_INFINITY, b: Number.NEGATIVE_INFINITY }), [
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY
  ])
  assert.deepEqual(answerOf({ a: 0.1, b: 5e-324 }), [Math.fround(0.1), 0])
  const largest = 3.4028234663852886e38
  const finite = openSync(echo({ features: [{ ...f32('a'), domain: [[-largest, largest]] }] }))
  for (const value of [1e300, -3.5e38, 2n ** 130n])
    assert.equal((await failureOf(finite, { a: value })).code, 'OUT_OF_RANGE')
})

test('strings take every text that UTF-8 can encode, and refuse lone surrogates', async () => {
  const cast = value => integer.predictSync({ ...KINDS, word_must: value })
  for (const value of ['', 'a', 'é', '日本', '🐧', 'x'.repeat(5_000_000), 'ä'.repeat(100_000)])
    cast(value)
  assert.deepEqual(cast(`${''.padEnd(10, 'q')}b`.slice(10)), cast('b'))
  for (const value of [
    '\ud800',
    'a\udc00',
    '\udc00\ud800',
    'ok\0',
    '\0',
    `${'x'.repeat(100_000)}\ud83d`
  ]) {
    const failure = await failureOf(integer, { ...KINDS, word_must: value })
    assert.deepEqual([failure.code, failure.feature], ['INVALID_STRING', 'word_must'])
  }
  const odd = openSync(echo({ features: [f32('a')] }))
  const failure = await failureOf(odd, { a: 1, '\ud800': 1 })
  assert.ok(['UNKNOWN_NAME', 'INVALID_STRING'].includes(failure.code))
  assert.ok(
    ['UNKNOWN_NAME', 'INVALID_STRING'].includes((await failureOf(odd, { a: 1, 'nul\0': 1 })).code)
  )
})

test('deeply nested values are refused for their type, not for their depth', async () => {
  let deep = 1
  for (let i = 0; i < 100_000; i++) deep = [deep]
  assert.equal((await failureOf(pair, { a: deep, b: 1 })).code, 'DTYPE_MISMATCH')
  const circle = {}
  circle.self = circle
  assert.equal((await failureOf(pair, { a: circle, b: 1 })).code, 'DTYPE_MISMATCH')
})
