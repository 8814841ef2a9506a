// Writes ONNX files as bytes, so that the tests of Node.js need neither Python nor one file per
// model. Used by models.js.
'use strict'

const crypto = require('node:crypto')

const DTYPES = {
  float32: 1,
  uint8: 2,
  int32: 6,
  int64: 7,
  string: 8,
  bool: 9,
  float16: 10,
  float64: 11
}

// Protobuf's wire format: a message is a list of [field, value]; a value of null is left out.

function varint(value) {
  let rest = BigInt.asUintN(64, BigInt(value))
  const bytes = []
  while (rest > 0x7fn) {
    bytes.push(Number(rest & 0x7fn) | 0x80)
    rest >>= 7n
  }
  bytes.push(Number(rest))
  return Buffer.from(bytes)
}

function field([number, value]) {
  if (value === null) return Buffer.alloc(0)
  if (typeof value === 'number' || typeof value === 'bigint')
    return Buffer.concat([varint(number << 3), varint(value)])
  const bytes = Array.isArray(value) ? message(value) : Buffer.from(value)
  return Buffer.concat([varint((number << 3) | 2), varint(bytes.length), bytes])
}

function message(fields) {
  return Buffer.concat(fields.map(field))
}

const each = (number, values) => values.map(value => [number, value])

function attribute([name, value]) {
  const list = Array.isArray(value) ? value : null
  if (list && typeof list[0] === 'string') return [[1, name], ...each(9, list), [20, 8]]
  if (list) return [[1, name], ...each(8, list), [20, 7]]
  if (typeof value === 'string')
    return [
      [1, name],
      [4, value],
      [20, 3]
    ]
  if (value.floats)
    return [
      [1, name],
      [7, Buffer.from(Float32Array.from(value.floats).buffer)],
      [20, 6]
    ]
  if (value.graph)
    return [
      [1, name],
      [6, graph(value.graph)],
      [20, 5]
    ]
  return [
    [1, name],
    [3, value],
    [20, 2]
  ]
}

function node({ op, inputs, outputs, domain = null, ...attributes }) {
  return [
    ...each(1, inputs),
    ...each(2, outputs),
    [4, op],
    ...each(5, Object.entries(attributes).map(attribute)),
    [7, domain]
  ]
}

const ARRAYS = {
  float32: Float32Array,
  float64: Float64Array,
  int64: BigInt64Array,
  int32: Int32Array,
  bool: Uint8Array
}

function initializer({ name, dtype, dims, data }) {
  const values =
    dtype === 'string'
      ? each(6, data)
      : [[9, Buffer.from(ARRAYS[dtype].from(data, dtype === 'int64' ? BigInt : Number).buffer)]]
  return [...each(1, dims), [2, DTYPES[dtype]], [8, name], ...values]
}

const dimension = dim => (typeof dim === 'string' ? [[2, dim]] : [[1, dim]])

function valueInfo({ name, dtype, dims }) {
  const shape = each(1, dims.map(dimension))
  return [
    [1, name],
    [
      2,
      [
        [
          1,
          [
            [1, DTYPES[dtype]],
            [2, shape]
          ]
        ]
      ]
    ]
  ]
}

function graph({ nodes, inputs, outputs, initializers = [] }) {
  return [
    ...each(1, nodes.map(node)),
    [2, 'test'],
    ...each(5, initializers.map(initializer)),
    ...each(11, inputs.map(valueInfo)),
    ...each(12, outputs.map(valueInfo))
  ]
}

/** The bytes of a model file; null leaves the contract and the id out. */
function modelBytes({ contract = null, ...parts }) {
  const blankId = '0'.repeat(64)
  const metadata = contract
    ? Object.entries({ 'sidecall.contract': JSON.stringify(contract), 'sidecall.id': blankId })
    : []
  const opsets = [
    [8, [[2, 17]]],
    [
      8,
      [
        [1, 'ai.onnx.ml'],
        [2, 3]
      ]
    ]
  ]
  const entries = metadata.map(entry => [14, entry.map((text, index) => [index + 1, text])])
  const bytes = message([[1, 9], [7, graph(parts)], ...opsets, ...entries])
  if (!contract) return bytes
  const id = crypto.createHash('sha256').update(bytes).digest('hex')
  bytes.write(id, bytes.lastIndexOf(blankId), 'latin1')
  return bytes
}

module.exports = { modelBytes }
