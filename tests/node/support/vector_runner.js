// Runs one case of tests/vectors in every way that JavaScript offers: synchronous and asynchronous,
// typed and plain arrays, runs and reusable calls. Used by vectors.test.js, and by shm.test.js over
// shared memory.
'use strict'

const assert = require('node:assert/strict')

const { SidecallError, openSync } = require('../../../bindings/node')
const { assertExpected, assertForm, assertRecord, assertTensors } = require('./compare.js')
const { statuses } = require('./statuses.js')
const { dataOf, loadCases, nestedOf } = require('./vector_cases.js')
const { modelPath } = require('./paths.js')

const cases = loadCases()

// Cases that JavaScript cannot express, each with the reason.
const NO_SUCH_STRING = 'a JavaScript string has no such bytes'
const REFUSED = 'JSON.parse refuses the text, so no value of it reaches the package'
const LAST_KEY = 'JSON.parse keeps the last of two equal keys'
const SAME_ARRAY = 'Uint8Array is both uint8 and bool'
const JSON_ONLY = 'a JavaScript value gets another status than its JSON text (values.test.js)'
const CONTROL_CHARACTERS = Array.from({ length: 0x20 }, (_, code) =>
  code.toString(16).padStart(2, '0')
).flatMap(code => [`byte_${code}_in_value`, `byte_${code}_in_key`])
// biome-ignore format: one table
const WHY = [
  [NO_SUCH_STRING, 'strings', ['not_utf8', 'overlong', 'beyond_unicode', 'cut', 'lone_continuation']],
  [NO_SUCH_STRING, 'json', ['not_utf8', 'overlong', 'found_gzip']],
  [REFUSED, 'json', [
    'empty', 'blank', 'cut_object', 'cut_string', 'cut_list', 'trailing_comma', 'trailing_text', 'two_records', 'single_quotes', 'comment',
    'no_colon', 'leading_zero', 'plus', 'dot_only', 'hex', 'bare_word', 'python_word', 'nan', 'infinity', 'control_in_string', 'bad_escape',
    'deep', 'deep_objects', 'nul_at_end', 'utf16', 'found_nan', 'found_infinity', 'found_none', 'found_cut_off_in_an_object',
    'found_cut_off_in_a_list', 'found_cut_off_before_a_value', 'found_empty'
  ]],
  [REFUSED, 'json', CONTROL_CHARACTERS],
  [SAME_ARRAY, 'types', ['bool_given_uint8']],
  [LAST_KEY, 'json', ['key_twice', 'key_twice_escaped']],
  [JSON_ONLY, 'json', ['deep_closed', 'lone_surrogate', 'beyond_double', 'beyond_double_among_others']]
]
const INEXPRESSIBLE = new Map(
  WHY.flatMap(([reason, group, names]) => names.map(name => [`${group}/${name}`, reason]))
)

// Ways to call.

const tensorsOf = (inputs, convert) =>
  Object.fromEntries(Object.entries(inputs).map(([name, tensor]) => [name, convert(tensor)]))
const typed = tensor => ({ data: dataOf(tensor), dims: tensor.shape })
const nested = tensor => nestedOf(tensor) ?? typed(tensor)

// Fills the input memory of a call and reads its output memory.
function throughCall(model, inputs) {
  const call = model.call()
  for (const [name, tensor] of Object.entries(inputs)) {
    const view = call.reshape(name, tensor.shape)
    if (tensor.dtype === 'string') call.inputs[name] = dataOf(tensor)
    else view.set(dataOf(tensor))
  }
  call.runSync()
  return Object.fromEntries(model.signature.outputs.map(({ name }) => [name, call.outputs[name]]))
}

/** Name -> function that runs the case in this way. Each throws or rejects as the package does. */
function waysOf(one) {
  if (one.inputs !== undefined) {
    const ways = {
      runSync: model => model.runSync(tensorsOf(one.inputs, typed)),
      run: model => model.run(tensorsOf(one.inputs, typed))
    }
    if (one.outputs !== undefined) {
      ways.plain = model => model.runSync(tensorsOf(one.inputs, nested))
      ways.call = model => throughCall(model, one.inputs)
    }
    return ways
  }
  const record = one.record ?? JSON.parse(one.json)
  return {
    predictSync: model => model.predictSync(record),
    predict: model => model.predict(record)
  }
}

function check(one, answer) {
  if (one.outputs !== undefined) assertTensors(answer, one.outputs, one.tolerance)
  if (one.result !== undefined) assertRecord(answer, one.result, one.tolerance)
}

async function ask(model, one) {
  if (one.inputs === undefined && one.record === undefined && one.json === undefined) return
  for (const [way, answer] of Object.entries(waysOf(one))) {
    try {
      check(one, await answer(model))
    } catch (error) {
      if (!(error instanceof SidecallError)) error.message = `${way}: ${error.message}`
      throw error
    }
  }
}

// Expected outcomes.

function assertFailure(error, one) {
  assert.ok(error instanceof SidecallError, error.stack)
  assert.equal(error.code, one.expect_status, error.message)
  assertForm(error, statuses)
  assertExpected(error, one.expect_error ?? {})
}

async function failure(action) {
  try {
    await action()
  } catch (error) {
    return error
  }
  return assert.fail('expected a failure, got an answer')
}

/** Runs a case on the model of each of `openers`. A case may expect the error of an opener. */
async function runCase(one, openers) {
  for (const opened of openers) {
    let model
    try {
      model = await opened(one)
    } catch (error) {
      if (one.expect_status === undefined) throw error
      assertFailure(error, one)
      continue
    }
    if (one.expect_status === undefined) await ask(model, one)
    else
      for (const answer of Object.values(waysOf(one)))
        assertFailure(await failure(() => answer(model)), one)
    if (one.after !== undefined) await ask(model, cases.get(one.after))
    model.close()
  }
}

/**
 * The cases that a server can run, by model file: the cases that open a model by its path and then
 * run something on it.
 */
function casesByFile() {
  const files = new Map()
  for (const [name, one] of cases) {
    const asks = one.inputs !== undefined || one.record !== undefined || one.json !== undefined
    if (
      !asks ||
      INEXPRESSIBLE.has(name) ||
      one.open?.uri !== undefined ||
      one.open?.as !== undefined
    )
      continue
    files.set(one.model, [...(files.get(one.model) ?? []), one])
  }
  for (const file of files.keys()) {
    try {
      openSync(modelPath(file)).close()
    } catch {
      files.delete(file) // covered by vectors.test.js
    }
  }
  return files
}

const REASONS = { NO_SUCH_STRING, REFUSED, LAST_KEY, SAME_ARRAY, JSON_ONLY }

module.exports = { cases, casesByFile, INEXPRESSIBLE, REASONS, runCase, tensorsOf }
