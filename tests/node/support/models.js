// Builds small models with contracts for the tests of Node.js: any features, any classes.
'use strict'

const { modelBytes } = require('./onnx.js')

const MISSING_INTEGER = -999

function missing(feature) {
  if (!feature.nullable) return {}
  if (feature.type === 'string') return { missing: { value: '\ufdd0' } }
  if (feature.type === 'int64') return { missing: { value: MISSING_INTEGER } }
  return { missing: 'nan' }
}

// A nullable bool needs a tensor type that can represent a missing value.
const tensorType = feature =>
  feature.type === 'bool' && feature.nullable ? 'float32' : feature.type

const contractFeature = feature => ({
  nullable: false,
  ...feature,
  input: feature.name,
  column: 0,
  ...missing(feature)
})

/** Nodes that make a float32 column of each feature; strings become 0. */
function columns(features) {
  return features.map((feature, i) => {
    const places = { inputs: [feature.name], outputs: [`column ${i}`] }
    if (feature.type !== 'string') return { op: 'Cast', ...places, to: 1 }
    return {
      op: 'LabelEncoder',
      domain: 'ai.onnx.ml',
      ...places,
      keys_strings: ['one'],
      values_floats: { floats: [1] }
    }
  })
}

const graphInputs = features =>
  features.map(feature => ({ name: feature.name, dtype: tensorType(feature), dims: ['N', 1] }))

function labelType(classes) {
  if (typeof classes[0] === 'string') return 'string'
  return typeof classes[0] === 'boolean' ? 'bool' : 'int64'
}

/**
 * A classifier over features `{ name, type, nullable, allowed }`. The index of its class is the
 * first feature, rounded, modulo the number of classes.
 */
function classifier({ features, classes, name = 'test', version = '1' }) {
  const dtype = labelType(classes)
  const count = classes.length
  return modelBytes({
    nodes: [
      ...columns(features),
      { op: 'Concat', inputs: features.map((_, i) => `column ${i}`), outputs: ['X'], axis: 1 },
      { op: 'Slice', inputs: ['X', 'zero', 'one', 'one'], outputs: ['first'] },
      { op: 'Round', inputs: ['first'], outputs: ['rounded'] },
      { op: 'Cast', inputs: ['rounded'], outputs: ['whole'], to: 7 },
      { op: 'Mod', inputs: ['whole', 'count'], outputs: ['index'] },
      { op: 'Squeeze', inputs: ['index', 'one'], outputs: ['flat'] },
      { op: 'Gather', inputs: ['classes', 'flat'], outputs: ['label'] },
      { op: 'Gather', inputs: ['unit', 'flat'], outputs: ['probabilities'] }
    ],
    initializers: [
      { name: 'zero', dtype: 'int64', dims: [1], data: [0] },
      { name: 'one', dtype: 'int64', dims: [1], data: [1] },
      { name: 'count', dtype: 'int64', dims: [1], data: [count] },
      { name: 'classes', dtype, dims: [count], data: classes },
      {
        name: 'unit',
        dtype: 'float32',
        dims: [count, count],
        data: Array.from({ length: count * count }, (_, i) => Number(i % (count + 1) === 0))
      }
    ],
    inputs: graphInputs(features),
    outputs: [
      { name: 'label', dtype, dims: ['N'] },
      { name: 'probabilities', dtype: 'float32', dims: ['N', count] }
    ],
    contract: {
      format: 5,
      model: { name, version, task: 'classification' },
      features: features.map(contractFeature),
      outputs: [
        { name: 'label', role: 'label', type: dtype, classes },
        { name: 'probabilities', role: 'probabilities', type: 'float32', classes }
      ]
    }
  })
}

/** Returns each feature as a float64 number: `prediction` has one value per feature. */
function echo({ features, name = 'echo' }) {
  const wide = features.length > 1
  const cast = features.map((feature, i) => ({
    op: 'Cast',
    inputs: [feature.name],
    outputs: [`column ${i}`],
    to: 11
  }))
  return modelBytes({
    nodes: [
      ...cast,
      {
        op: 'Concat',
        inputs: features.map((_, i) => `column ${i}`),
        outputs: ['prediction'],
        axis: 1
      }
    ],
    inputs: graphInputs(features),
    outputs: [{ name: 'prediction', dtype: 'float64', dims: ['N', features.length] }],
    contract: {
      format: 5,
      model: { name, version: '1', task: 'regression' },
      features: features.map(contractFeature),
      outputs: [
        {
          name: 'prediction',
          role: 'prediction',
          type: 'float64',
          ...(wide ? { width: features.length } : {})
        }
      ]
    }
  })
}

/** y = x for one tensor of any type and shape, without a contract. */
function identity({ dtype = 'float32', dims = ['N'], x = 'x', y = 'y' } = {}) {
  return modelBytes({
    nodes: [{ op: 'Identity', inputs: [x], outputs: [y] }],
    inputs: [{ name: x, dtype, dims }],
    outputs: [{ name: y, dtype, dims }]
  })
}

module.exports = { classifier, echo, identity }
