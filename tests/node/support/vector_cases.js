// Reads tests/vectors and converts its tensors to JavaScript values. Used by vectors.test.js.
'use strict'

const fs = require('node:fs')
const path = require('node:path')

const { root } = require('./paths.js')

const NUMBERS = { nan: Number.NaN, inf: Number.POSITIVE_INFINITY, '-inf': Number.NEGATIVE_INFINITY }
const KEYS = new Set([
  'name',
  'model',
  'open',
  'inputs',
  'record',
  'json',
  'outputs',
  'result',
  'tolerance',
  'expect_status',
  'expect_error',
  'after'
])
const ARRAYS = {
  float32: Float32Array, float64: Float64Array, int8: Int8Array, int16: Int16Array, int32: Int32Array, int64: BigInt64Array,
  uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, uint64: BigUint64Array, bool: Uint8Array, bfloat16: Uint16Array
} // biome-ignore format: one table

// JSON.parse rounds integers beyond 2^53, so integers of 16 or more digits are parsed as bigint.
function parse(text) {
  const mark = part => (/^-?\d{16,}$/.test(part) ? `{"bigint":"${part}"}` : part)
  const marked = text.replace(/"(?:[^"\\]|\\.)*"|[-+.\w]+/g, mark)
  return JSON.parse(marked, (_, value) =>
    typeof value?.bigint === 'string' ? BigInt(value.bigint) : value
  )
}

/** All cases by name. Throws on a key that the README does not list. */
function loadCases() {
  const folder = path.join(root, 'tests', 'vectors', 'cases')
  const cases = new Map()
  for (const file of fs.readdirSync(folder).sort()) {
    for (const one of parse(fs.readFileSync(path.join(folder, file), 'utf8'))) {
      const unknown = Object.keys(one).filter(key => !KEYS.has(key))
      if (unknown.length > 0 || cases.has(one.name))
        throw new Error(`${one.name}: ${unknown} ${cases.has(one.name)}`)
      cases.set(one.name, one)
    }
  }
  return cases
}

/** A number of a case as a JavaScript number or bigint. */
const number = value => (typeof value === 'string' ? NUMBERS[value] : value)

/**
 * The typed array class for a dtype of the vectors. It is Uint8Array, for the raw bytes, if the
 * dtype is an 8-bit float or a 4-bit type.
 */
function arrayClass(dtype) {
  if (dtype === 'float16') return globalThis.Float16Array ?? Uint16Array
  return ARRAYS[dtype] ?? Uint8Array
}

/**
 * A string of a case, which may be given by its bytes. Throws if no JavaScript string has these
 * bytes.
 */
function text(value) {
  if (typeof value === 'string') return value
  const bytes = Buffer.from(value.hex, 'hex')
  // A lone surrogate is invalid in UTF-8, but JavaScript strings can contain it.
  if (value.hex === 'eda080') return '\ud800'
  const decoded = bytes.toString('utf8')
  if (!Buffer.from(decoded, 'utf8').equals(bytes))
    throw new Error('no JavaScript string has these bytes')
  return decoded
}

/** The elements of a tensor as `run` takes them. */
function dataOf({ dtype, data }) {
  if (dtype === 'string') return data.map(text)
  const Data = arrayClass(dtype)
  if (dtype === 'float16') return new Data(Uint16Array.from(data).buffer)
  const isBig = dtype === 'int64' || dtype === 'uint64'
  return Data.from(data, value => (isBig ? BigInt(value) : Number(number(value))))
}

/**
 * The elements of a tensor as plain values, nested by dimension; undefined if plain values cannot
 * express the tensor.
 */
function nestedOf({ dtype, shape, data, raw }) {
  if (raw) return undefined
  if (dtype.includes('4') && !dtype.includes('64')) return undefined
  let values = dtype === 'string' ? data.map(text) : data.map(number)
  if (shape.length === 0 || shape.includes(0)) return undefined
  for (const size of shape.slice(1).reverse()) {
    const rows = []
    for (let at = 0; at < values.length; at += size) rows.push(values.slice(at, at + size))
    values = rows
  }
  return values
}

module.exports = { arrayClass, dataOf, loadCases, nestedOf, number, text }
