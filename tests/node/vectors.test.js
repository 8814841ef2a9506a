// Runs all cases of tests/vectors in process; support/vector_runner.js defines the ways to call.
'use strict'

const assert = require('node:assert/strict')
const fs = require('node:fs')
const test = require('node:test')

const { open, openSync } = require('../../bindings/node')
const { modelPath, models } = require('./support/paths.js')
const { statuses } = require('./support/statuses.js')
const { dataOf, text: textOf } = require('./support/vector_cases.js')
const { cases, INEXPRESSIBLE, REASONS, runCase, tensorsOf } = require('./support/vector_runner.js')

function sourceOf({ model, open: how = {} }) {
  if (how.as === 'bytes') return fs.readFileSync(modelPath(model))
  return how.uri === undefined ? modelPath(model) : how.uri.replace('$MODELS', models)
}

function optionsOf({ open: { as, uri, ...options } = {} }) {
  return options
}

const openers = [openSync, open].map(opened => one => opened(sourceOf(one), optionsOf(one)))

for (const [name, one] of cases) {
  if (!INEXPRESSIBLE.has(name)) test(name, () => runCase(one, openers))
}

const natively = one => openSync(sourceOf(one), { ...optionsOf(one), engine: 'native' })

// The native engine does not support some graphs. Where ONNX Runtime finds that a graph contradicts
// itself (ENGINE), the native engine says so too, with another status.
function isRefusedNatively(one) {
  try {
    natively(one).close()
    return false
  } catch ({ code }) {
    return code === 'UNSUPPORTED' || (code === 'FILE_INVALID' && one.expect_status === 'ENGINE')
  }
}

test('every case gives the expected outcome on the native engine, or its file is refused', async () => {
  const known = [...cases].filter(([name]) => !INEXPRESSIBLE.has(name))
  const refused = new Set(known.filter(([, one]) => isRefusedNatively(one)).map(([name]) => name))
  for (const [name, one] of known) {
    if (refused.has(name)) continue
    await runCase(one, [natively]).catch(cause => assert.fail(`${name}: ${cause.message}`))
  }
  assert.ok(refused.size <= known.length / 8, `${refused.size} of ${known.length}`)
})

test('there are 400 cases or more, and they include every name that is listed as inexpressible', () => {
  assert.ok(cases.size >= 400, `${cases.size} cases`)
  for (const name of INEXPRESSIBLE.keys()) assert.ok(cases.has(name), name)
  for (const one of cases.values())
    assert.ok(one.expect_status === undefined || statuses.has(one.expect_status), one.name)
})

test('each reason for which a case is listed as inexpressible holds for that case', () => {
  for (const [name, reason] of INEXPRESSIBLE) {
    const one = cases.get(name)
    if (reason === REASONS.REFUSED)
      assert.throws(() => JSON.parse(textOf(one.json)), SyntaxError, name)
    if (reason === REASONS.NO_SUCH_STRING)
      assert.throws(
        () => (one.inputs === undefined ? textOf(one.json) : tensorsOf(one.inputs, dataOf)),
        /no JavaScript string/,
        name
      )
    if (reason === REASONS.SAME_ARRAY) assert.ok(dataOf(one.inputs.x) instanceof Uint8Array)
    if (reason === REASONS.LAST_KEY) assert.equal(JSON.parse(one.json).a, 2, name)
    if (reason === REASONS.JSON_ONLY) assert.equal(typeof JSON.parse(one.json), 'object', name)
  }
})
