// A model that takes as long as it is told and answers |x|; between its rounds the engine can be interrupted. Used where runs must overlap.
'use strict'

const { modelBytes } = require('./onnx.js')

const WIDTH = 10_000
const ROUNDS_PER_MS = 150 // about; nothing depends on it

const body = {
  nodes: [
    { op: 'Identity', inputs: ['go'], outputs: ['go_on'] },
    { op: 'Neg', inputs: ['before'], outputs: ['negative'] },
    { op: 'Abs', inputs: ['negative'], outputs: ['after'] }
  ],
  inputs: [
    { name: 'round', dtype: 'int64', dims: [] },
    { name: 'go', dtype: 'bool', dims: [] },
    { name: 'before', dtype: 'float32', dims: ['N'] }
  ],
  outputs: [
    { name: 'go_on', dtype: 'bool', dims: [] },
    { name: 'after', dtype: 'float32', dims: ['N'] }
  ]
}

/** The bytes of the model. */
const source = modelBytes({
  nodes: [{ op: 'Loop', inputs: ['n', '', 'x'], outputs: ['y'], body: { graph: body } }],
  inputs: [
    { name: 'x', dtype: 'float32', dims: ['N'] },
    { name: 'n', dtype: 'int64', dims: [] }
  ],
  outputs: [{ name: 'y', dtype: 'float32', dims: ['N'] }]
})

/** Inputs of a run of roughly so many milliseconds. */
function inputsFor(ms, x = new Float32Array(WIDTH).fill(0.5)) {
  return { x, n: { data: BigInt64Array.of(BigInt(Math.round(ms * ROUNDS_PER_MS))), dims: [] } }
}

module.exports = { inputsFor, source, WIDTH }
