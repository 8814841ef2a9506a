// Which engine runs a file: the option, the query of the source, and the environment variable.
'use strict'

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')
const { pathToFileURL } = require('node:url')

const { open, openSync } = require('../../bindings/node')
const { modelPath, temporaryFolder } = require('./support/paths.js')
const { runScript } = require('./support/process.js')

delete process.env.SIDECALL_ENGINE
// matrix.onnx with wrong golden rows. The warning about them names the engine.
const matrix = modelPath('verification/first_row.onnx')
const record = { a: 1, b: 2, c: true, d: 0.5 }

/** Opens a model in both ways, predicts with it, and returns the engine that ran it. */
async function engineOf(source, options) {
  const engines = []
  const known = { verify: 'warn', ...options }
  for (const model of [openSync(source, known), await open(source, known)]) {
    assert.deepEqual(model.predictSync(record), { prediction: 621 })
    engines.push(/running on ([^)]*)/.exec(model.warning)[1])
    model.close()
  }
  assert.equal(engines[0], engines[1])
  return engines[0]
}

test('the option chooses the engine', async () => {
  assert.equal(await engineOf(matrix, { engine: 'native' }), 'native 2')
  assert.equal(await engineOf(fs.readFileSync(matrix), { engine: 'native' }), 'native 2')
  for (const engine of ['auto', 'onnxruntime', undefined])
    assert.match(await engineOf(matrix, { engine }), /^onnxruntime /)
})

test('the query of a path, URI or URL overrides the option', async () => {
  const url = pathToFileURL(matrix)
  url.search = '?engine=native'
  for (const source of [`${matrix}?engine=native`, url.href, url])
    assert.equal(await engineOf(source, { engine: 'onnxruntime' }), 'native 2')
  assert.match(await engineOf(`${matrix}?engine=auto`, { engine: 'native' }), /^onnxruntime /)
  const wrong = new URL(url)
  wrong.search = '?engine=fast'
  for (const source of [`${matrix}?engine=fast`, wrong]) {
    await assert.rejects(open(source), { code: 'INVALID_ARGUMENT', message: /\?engine=fast'/ })
    assert.throws(() => openSync(source), { code: 'INVALID_ARGUMENT' })
  }
})

test('a URL of a file whose name contains a question mark opens that file', async () => {
  const folder = temporaryFolder()
  for (const name of ['what?.onnx', 'm.onnx?engine=onnxruntime']) {
    const file = path.join(folder, name)
    fs.copyFileSync(matrix, file)
    assert.equal(await engineOf(pathToFileURL(file), { engine: 'native' }), 'native 2')
  }
})

test('the environment variable overrides option and query, and ONNX Runtime is not loaded', async () => {
  const script = `
    const model = sidecall.openSync(modelPath('matrix.onnx?engine=onnxruntime'), { engine: 'auto' })
    console.log(model.predictSync({ a: 1, b: 2, c: true, d: 0.5 }))
    console.log(require('node:fs').readFileSync('/proc/self/maps', 'utf8').includes('libonnxruntime'))`
  const env = { SIDECALL_ENGINE: 'native', SIDECALL_ONNXRUNTIME: '/no/libonnxruntime.so' }
  const done = await runScript(script, { env })
  assert.deepEqual([done.code, done.out, done.err], [0, '{ prediction: 621 }\nfalse\n', ''])
})

test('the native engine refuses a graph that it cannot run', async () => {
  const expected = { code: 'UNSUPPORTED', message: /NonZero/ }
  await assert.rejects(open(modelPath('nonzero.onnx'), { engine: 'native' }), expected)
  assert.throws(() => openSync(modelPath('nonzero.onnx'), { engine: 'native' }), expected)
})

test('a model says which engine runs it, and why', () => {
  const model = openSync(matrix, { verify: 'off', engine: 'native' })
  assert.deepEqual([model.engine, model.engineReason], ['native 2', 'the caller named it'])
  const automatic = openSync(matrix, { verify: 'off' })
  assert.match(automatic.engine, /^onnxruntime 1\./)
  assert.equal(automatic.engineReason, 'the export did not prove the file on the native engine')
})
