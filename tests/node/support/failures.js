// Checks how a record fails. Used by the tests of records and values.
'use strict'

const assert = require('node:assert/strict')

/** Checks that predict and predictSync fail alike, and returns the error. */
async function failureOf(model, record) {
  let first
  assert.throws(
    () => model.predictSync(record),
    error => {
      first = error
      return true
    }
  )
  await assert.rejects(
    async () => model.predict(record),
    error => error.code === first.code && error.message === first.message
  )
  return first
}

module.exports = { failureOf }
