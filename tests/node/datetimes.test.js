// Features of type datetime in JavaScript: text, Date, numbers and bigints.
'use strict'

const assert = require('node:assert/strict')
const test = require('node:test')
const vm = require('node:vm')

const { openSync } = require('../../bindings/node')
const { failureOf } = require('./support/failures.js')
const { modelPath } = require('./support/paths.js')

// `seen` counts ms and has a zone and the epoch s; `born` counts s and has no zone; `exact` counts
// ns and has a zone; `due` counts us and has a zone.
const model = openSync(modelPath('dates.onnx'))
const GOOD = {
  seen: '2026-01-31T00:00:00Z',
  born: '2026-01-31',
  exact: null,
  due: '1970-01-01T00:00:01Z'
}

const countsOf = record => model.predictSync({ ...GOOD, ...record }).transformed

async function failure(record) {
  const { code, feature, expected, got } = await failureOf(model, { ...GOOD, ...record })
  return { code, feature, expected, got }
}

test('a Date is an instant, for features with a zone', async () => {
  assert.equal(countsOf({ seen: new Date('2026-01-31T01:00:00.25+01:00') })[0], 1769817600250)
  assert.equal(countsOf({ seen: new Date(-1) })[0], -1)
  assert.equal(countsOf({ seen: new Date(0) })[0], 0)
  assert.equal(countsOf({ seen: new Date(-8.64e15) })[0], -8.64e15)
  assert.equal(countsOf({ seen: new Date(8.64e15) })[0], 8.64e15)
  assert.equal(countsOf({ due: new Date(1500) })[3], 1500000)
  const foreign = vm.runInNewContext('new Date(5)')
  assert.equal(countsOf({ seen: foreign })[0], 5)
  class Mine extends Date {
    getTime() {
      return 7
    }
  }
  assert.equal(countsOf({ seen: new Mine(5) })[0], 5)
  const many = await model.predict([GOOD, { ...GOOD, seen: new Date(5) }])
  assert.deepEqual(
    many.map(answer => answer.transformed[0]),
    [1769817600000, 5]
  )
})

test('a Date is refused where it has no meaning', async () => {
  assert.deepEqual(await failure({ born: new Date(0) }), {
    code: 'DTYPE_MISMATCH',
    feature: 'born',
    expected: "a datetime such as '2026-01-31T12:30:00'",
    got: 'a Date, which has a zone; send text without one'
  })
  assert.deepEqual(await failure({ seen: new Date(Number.NaN) }), {
    code: 'INVALID_STRING',
    feature: 'seen',
    expected: "a datetime such as '2026-01-31T12:30:00Z'",
    got: 'another text'
  })
  assert.equal((await failure({ exact: new Date(8.64e15) })).code, 'OUT_OF_RANGE')
  assert.equal((await failure({ due: new Date(-1) })).code, 'OUT_OF_RANGE')
  const matrix = openSync(modelPath('matrix.onnx'))
  const { code, got } = await failureOf(matrix, { a: new Date(0), c: true, d: 1 })
  assert.deepEqual([code, got], ['DTYPE_MISMATCH', 'Date'])
})

test('numbers and bigints need an epoch, and are converted without rounding', async () => {
  assert.equal(countsOf({ seen: 1769817600 })[0], 1769817600000)
  assert.equal(countsOf({ seen: 1769817600.123 })[0], 1769817600123)
  assert.equal(countsOf({ seen: -0.001 })[0], -1)
  assert.equal(countsOf({ seen: -0 })[0], 0)
  assert.equal(countsOf({ seen: 1e9 })[0], 1e12)
  assert.equal(countsOf({ seen: 5n })[0], 5000)
  assert.equal(countsOf({ seen: -5n })[0], -5000)
  for (const value of [0.0001, 1e300, 5e-324, 2 ** 53 + 2, 10n ** 30n, 2n ** 63n])
    assert.equal((await failure({ seen: value })).code, 'OUT_OF_RANGE', String(value))
  for (const value of [Infinity, -Infinity])
    assert.equal((await failure({ seen: value })).code, 'DTYPE_MISMATCH', String(value))
  for (const value of [5, 5.5, 5n]) {
    assert.deepEqual(await failure({ born: value }), {
      code: 'DTYPE_MISMATCH',
      feature: 'born',
      expected: "a datetime such as '2026-01-31T12:30:00'",
      got: "a number, for which the contract has no 'epoch'"
    })
  }
})

test('missing values and other types', async () => {
  for (const value of [null, undefined, Number.NaN])
    assert.equal(countsOf({ seen: value })[0], -(2n ** 63n), String(value))
  for (const [value, got] of [
    [true, 'bool'],
    [[1], 'array'],
    [{}, 'object'],
    [Symbol('x'), 'symbol']
  ])
    assert.equal((await failure({ seen: value })).got, got)
  assert.equal((await failure({ seen: '\ud800' })).code, 'INVALID_STRING')
  assert.equal((await failure({ born: null })).code, 'MISSING_VALUE')
})

test('the signature has unit, zone and epoch', () => {
  const [seen, born] = model.signature.features
  assert.deepEqual(seen, {
    name: 'seen',
    dtype: 'datetime',
    nullable: true,
    input: 'seen',
    column: 0,
    unit: 'ms',
    zone: 'Europe/Berlin',
    epoch: 's'
  })
  assert.deepEqual(Object.keys(born), ['name', 'dtype', 'nullable', 'input', 'column', 'unit'])
})
