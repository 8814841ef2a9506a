// SidecallError, and the few errors that only the JavaScript side can detect; the texts of all
// other errors come from core.
'use strict'

const FAMILIES = {
  1: 'usage',
  2: 'file',
  3: 'model',
  4: 'data',
  5: 'channel',
  6: 'engine',
  9: 'internal'
}
const RETRYABLE = new Set(['BUSY', 'TIMEOUT'])

class SidecallError extends Error {
  constructor(message, fields) {
    super(message)
    for (const name of [
      'code',
      'family',
      'retryable',
      'feature',
      'row',
      'expected',
      'got',
      'faults'
    ]) {
      Object.defineProperty(this, name, {
        value: fields[name],
        enumerable: true,
        configurable: true
      })
    }
  }
}
Object.defineProperty(SidecallError.prototype, 'name', {
  value: 'SidecallError',
  configurable: true,
  writable: true
})

const orNull = text => (text === '' ? null : text)

/**
 * Makes a SidecallError. The addon calls it with the error that the library reported; each fault is
 * [code, row, name, expected, got, message].
 */
function makeError(code, status, retryable, message, row, name, expected, got, faults) {
  const list = faults.map(([faultCode, faultRow, faultName, faultExpected, faultGot, text]) =>
    Object.freeze({
      code: faultCode,
      row: faultRow,
      name: orNull(faultName),
      expected: orNull(faultExpected),
      got: orNull(faultGot),
      message: text
    })
  )
  const first = { code, row, name: orNull(name), expected: orNull(expected), got: orNull(got) }
  if (list.length === 0) list.push(Object.freeze({ ...first, message }))
  return new SidecallError(message, {
    code,
    family: FAMILIES[Math.floor(status / 10)] ?? 'internal',
    retryable,
    feature: first.name,
    row,
    expected: first.expected,
    got: first.got,
    faults: Object.freeze(list)
  })
}

/**
 * Makes an error that JavaScript detected itself: a usage error, a passed deadline, or data that
 * was rejected before it reached the library.
 */
function fail(code, message, name = '', expected = '', got = '') {
  const status = { INVALID_ARGUMENT: 10, BUSY: 11, NOT_RUN: 12, TIMEOUT: 51 }[code] ?? 40
  return makeError(code, status, RETRYABLE.has(code), message, null, name, expected, got, [])
}

/**
 * Makes the error for a wrong input of a run, if the fault is one that exists only in JavaScript.
 * The text has the same form as in core.
 */
function failInput(code, name, expected, got) {
  return fail(code, `input '${name}': expected ${expected}, got ${got}`, name, expected, got)
}

/** Copies an error of core, with `got` replaced by a description that only JavaScript can give. */
function withGot(error, got) {
  const message = error.message.replace(`, got ${error.got}`, `, got ${got}`)
  return makeError(
    error.code,
    40,
    error.retryable,
    message,
    error.row,
    error.feature ?? '',
    error.expected ?? '',
    got,
    []
  )
}

const outOfMemory = () =>
  makeError('OUT_OF_MEMORY', 63, true, 'out of memory', null, '', '', '', [])

const closed = what => fail('INVALID_ARGUMENT', `the ${what} is closed`)

module.exports = { SidecallError, makeError, fail, failInput, outOfMemory, withGot, closed }
