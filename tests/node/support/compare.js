// Compares answers and errors with those of tests/vectors, and checks every error against the rules
// for all errors.
'use strict'

const assert = require('node:assert/strict')

const { arrayClass, dataOf, number } = require('./vector_cases.js')

const RETRYABLE = new Set(['BUSY', 'PEER_DIED', 'TIMEOUT', 'UNREACHABLE', 'OUT_OF_MEMORY'])
const FAMILIES = {
  1: 'usage',
  2: 'file',
  3: 'model',
  4: 'data',
  5: 'channel',
  6: 'engine',
  9: 'internal'
}

function near(got, expected, tolerance) {
  if (typeof got === 'bigint') return got === BigInt(expected)
  if (typeof expected === 'bigint') return got === Number(expected) // an integer that a float holds
  if (!Number.isFinite(expected)) return Object.is(got, expected)
  return Math.abs(got - expected) <= tolerance
}

const isNumber = value => typeof value === 'number' || typeof value === 'bigint'

/** Compares a record or list of records, including the order of members. */
function assertRecord(got, expected, tolerance = 0, at = 'result') {
  if (Array.isArray(expected)) {
    assert.ok(Array.isArray(got), `${at}: no array`)
    assert.equal(got.length, expected.length, at)
    for (const [i, value] of expected.entries())
      assertRecord(got[i], value, tolerance, `${at}[${i}]`)
  } else if (typeof expected === 'object') {
    assert.deepEqual(Object.keys(got), Object.keys(expected), at)
    for (const [key, value] of Object.entries(expected))
      assertRecord(got[key], value, tolerance, `${at}.${key}`)
  } else if (isNumber(got) && (isNumber(expected) || typeof expected === 'string')) {
    assert.ok(near(got, number(expected), tolerance), `${at}: ${got} is not ${expected}`)
  } else {
    assert.equal(got, expected, at)
  }
}

const bytesOf = array => Buffer.from(array.buffer, array.byteOffset, array.byteLength)

function assertTensor(got, expected, tolerance, at) {
  assert.deepEqual([...got.dims], expected.shape, `${at}.dims`)
  assert.ok(!Object.keys(got).includes('dims'), `${at}.dims is enumerable`)
  const data = dataOf(expected)
  if (expected.dtype === 'string') return assert.deepEqual([...got], data, at)
  assert.equal(got.constructor, arrayClass(expected.dtype), at)
  assert.equal(got.length, data.length, at)
  if (expected.dtype !== 'float32' && expected.dtype !== 'float64')
    return assert.deepEqual(bytesOf(got), bytesOf(data), at)
  for (const [i, value] of data.entries())
    assert.ok(near(got[i], value, tolerance), `${at}[${i}]: ${got[i]} is not ${value}`)
}

/** Compares tensors by output name; none may be missing or extra. */
function assertTensors(got, expected, tolerance = 0) {
  assert.deepEqual(Object.keys(got).sort(), Object.keys(expected).sort())
  for (const [name, tensor] of Object.entries(expected))
    assertTensor(got[name], tensor, tolerance, name)
}

// One line that does not start in upper case. It contains the name, unless the name has control
// characters.
function assertMessage(message, name) {
  assert.equal(typeof message, 'string')
  assert.doesNotMatch(message, /[\0-\x1f]/)
  assert.match(message, /^[^A-Z]/)
  if (name !== null && !/[\0-\x1f]/.test(name))
    assert.ok(message.includes(name), `${message} does not name ${name}`)
}

/** Checks the rules for every SidecallError. `statuses` are the numbers of the C header. */
function assertForm(error, statuses) {
  assert.ok(error instanceof Error)
  assert.equal(error.name, 'SidecallError')
  assert.ok(statuses.has(error.code), `code ${error.code}`)
  assert.notEqual(error.code, 'INTERNAL', error.message)
  assert.equal(error.family, FAMILIES[Math.floor(statuses.get(error.code) / 10)])
  assert.equal(error.retryable, RETRYABLE.has(error.code))
  assertMessage(error.message, error.feature)
  assert.ok(error.faults.length >= 1)
  for (const fault of error.faults) {
    assert.ok(statuses.has(fault.code))
    assertMessage(fault.message, fault.name)
  }
  const [first] = error.faults
  assert.deepEqual(
    [first.name, first.row, first.expected, first.got],
    [error.feature, error.row, error.expected, error.got]
  )
}

/** Compares each member of `expect_error` exactly. */
function assertExpected(error, expected) {
  const got = {
    name: error.feature,
    expected: error.expected,
    got: error.got,
    row: error.row,
    message: error.message,
    num_faults: error.faults.length
  }
  for (const [key, value] of Object.entries(expected)) {
    assert.equal(got[key], value === '' || value === -1 ? null : value, `${key}: ${error.message}`)
  }
}

module.exports = { assertExpected, assertForm, assertRecord, assertTensors }
