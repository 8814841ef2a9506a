// SidecallError, and the few errors that only JavaScript can see; core words all others.
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

/** Called by the addon with what the library reported; faults are [code, row, name, expected, got, message]. */
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

/** An error of the usage family, or of data that never reached the library. */
function fail(code, message, name = '', expected = '', got = '') {
  const status = { INVALID_ARGUMENT: 10, BUSY: 11, NOT_RUN: 12, TIMEOUT: 51 }[code] ?? 40
  return makeError(code, status, RETRYABLE.has(code), message, null, name, expected, got, [])
}

/** One input of a run is wrong in a way that only JavaScript has: the words are those of core. */
function failInput(code, name, expected, got) {
  return fail(code, `input '${name}': expected ${expected}, got ${got}`, name, expected, got)
}

/** The same error about something that only JavaScript has a name for. */
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

const closed = what => fail('INVALID_ARGUMENT', `the ${what} is closed`)

module.exports = { SidecallError, makeError, fail, failInput, withGot, closed }
