// What console.log and util.inspect print of a model.
'use strict'

const assert = require('node:assert/strict')
const test = require('node:test')
const { inspect } = require('node:util')

const { openSync } = require('../../bindings/node')
const { modelPath } = require('./support/paths.js')
const { serve } = require('./support/server.js')

const PENGUINS = `Model {
  name: 'penguins',
  version: '1',
  route: 'in process',
  features: [
    'island',
    'sex',
    'bill_length_mm',
    'bill_depth_mm',
    'flipper_length_mm',
    'body_mass_g',
    'year'
  ],
  outputs: [ 'label', 'probabilities' ]
}`

test('a printed model shows its name, version, route, features and outputs', () => {
  assert.equal(inspect(openSync(modelPath('penguins.onnx'))), PENGUINS)
})

test('a printed model without a contract shows its inputs', () => {
  const text = inspect(openSync(modelPath('identity_float32.onnx')))
  assert.match(text, /route: 'in process',\n {2}inputs: \[ 'x' \],\n {2}outputs: \[ 'y' \]/)
})

test('a printed model of a server shows the route, not the address', async () => {
  const server = serve(modelPath('penguins.onnx'))
  const model = openSync(server.address, { waitMs: 30_000 })
  assert.equal(inspect(model), PENGUINS.replace('in process', 'other process'))
  model.close()
  await server.stop()
})

test('a closed model prints that it is closed', () => {
  const model = openSync(modelPath('penguins.onnx'))
  model.close()
  assert.match(inspect(model), /isClosed: true/)
})

test('a model deep inside another object prints in short', () => {
  const nested = { a: { b: { model: openSync(modelPath('penguins.onnx')) } } }
  assert.match(inspect(nested, { depth: 2 }), /model: \[Model\]/)
})

test('the prototype of a model, and an object that inherits from a model, can be printed', () => {
  const model = openSync(modelPath('penguins.onnx'))
  assert.match(inspect(Object.getPrototypeOf(model)), /\{\}$/)
  assert.match(inspect(Object.create(model)), /\{\}$/)
})
