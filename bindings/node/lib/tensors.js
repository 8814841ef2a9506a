// Checks one input of `run` and converts it to a typed array (or strings) and dims; used by
// workspace.js. This runs code of the user (getters, proxies), so no input may be bound to the
// engine before all inputs have been read.
'use strict'

const {
  DTYPES,
  OTHER_WIDTH,
  bufferOf,
  classOf,
  lengthOf,
  nameOfClass,
  offsetOf
} = require('./dtypes.js')
const { failInput } = require('./errors.js')
const { notWhole, typeName, wrongType } = require('./options.js')

const MAX_DEPTH = 32
const INTEGERS = {
  int8: [-128, 127],
  int16: [-32768, 32767],
  int32: [-2147483648, 2147483647],
  uint8: [0, 255],
  uint16: [0, 65535],
  uint32: [0, 4294967295],
  int64: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  uint64: [0, Number.MAX_SAFE_INTEGER]
}
const BIG_INTEGERS = { int64: [-(2n ** 63n), 2n ** 63n - 1n], uint64: [0n, 2n ** 64n - 1n] }
const LARGEST_FLOAT16 = 65504
// SIDECALL_MISSING_STRING of sidecall.h.
const MISSING_STRING = '\ufdd0'

/**
 * Thrown for a value that the input cannot take. The workspace catches it and lets core make the
 * error, because only the workspace has the native call.
 */
class Refusal {
  constructor(kind, got) {
    this.kind = kind // 'dtype' or 'shape'
    this.got = got
  }
}

function outOfRange(spec) {
  return failInput('OUT_OF_RANGE', spec.name, spec.dtype, 'a number beyond its range')
}

function toFloat(value, spec) {
  const number = typeof value === 'bigint' ? Number(value) : value
  if (typeof number !== 'number') throw new Refusal('dtype', typeName(value))
  // Core checks for numbers that are too large for float32, because it knows the feature and the
  // row.
  const largest = spec.dtype === 'float16' ? LARGEST_FLOAT16 : Number.MAX_VALUE
  if (Math.abs(number) > largest && value !== Infinity && value !== -Infinity)
    throw outOfRange(spec)
  return number
}

function toInteger(value, spec) {
  if (typeof value !== 'number') throw new Refusal('dtype', typeName(value))
  if (!Number.isInteger(value)) throw new Refusal('dtype', 'float64')
  const [low, high] = INTEGERS[spec.dtype]
  if (value < low || value > high) throw outOfRange(spec)
  return value
}

function toBigInt(value, spec) {
  if (typeof value !== 'bigint') return BigInt(toInteger(value, spec))
  const [low, high] = BIG_INTEGERS[spec.dtype]
  if (value < low || value > high) throw outOfRange(spec)
  return value
}

function toSmallInteger(value, spec) {
  return toInteger(typeof value === 'bigint' ? Number(value) : value, spec)
}

function toBool(value) {
  if (typeof value !== 'boolean') throw new Refusal('dtype', typeName(value))
  return value ? 1 : 0
}

function toText(value, spec) {
  if (typeof value === 'string') return value
  const isMissing = value === null || value === undefined || Number.isNaN(value)
  if (isMissing && spec.takesMissing) return MISSING_STRING
  throw new Refusal('dtype', typeName(value))
}

function converterOf(spec) {
  const { Array: Class, isRaw } = DTYPES[spec.dtype]
  if (spec.dtype === 'string') return toText
  if (spec.dtype === 'bool') return toBool
  if (isRaw) throw new Refusal('dtype', 'array')
  if (Class === BigInt64Array || Class === BigUint64Array) return toBigInt
  return spec.dtype in INTEGERS ? toSmallInteger : toFloat
}

/**
 * Appends the elements of nested arrays to `flat`. The first array at each depth sets the entry of
 * `dims` for that depth; later arrays at the same depth must have the same length.
 */
function flatten(array, depth, dims, flat, convert, spec) {
  const length = array.length
  if (dims.length === depth) {
    if (depth === MAX_DEPTH) throw new Refusal('shape', `more than ${MAX_DEPTH} dimensions`)
    dims.push(length)
  } else if (dims[depth] !== length) {
    throw new Refusal('shape', 'a ragged array')
  }
  for (let i = 0; i < length; ++i) {
    const value = array[i]
    if (Array.isArray(value)) {
      if (i > 0 && dims.length === depth + 1) throw new Refusal('shape', 'a ragged array')
      flatten(value, depth + 1, dims, flat, convert, spec)
    } else {
      if (dims.length > depth + 1) throw new Refusal('shape', 'a ragged array')
      if (value === undefined && !(i in array)) throw new Refusal('dtype', 'an array with holes')
      flat.push(convert(value, spec))
    }
  }
}

function fromArray(array, spec) {
  const dims = []
  const flat = []
  flatten(array, 0, dims, flat, converterOf(spec), spec)
  const isOtherWidth = spec.dtype === 'float32'
  const Class = isOtherWidth ? Float64Array : DTYPES[spec.dtype].Array
  return {
    data: spec.dtype === 'string' ? flat : Class.from(flat),
    isOtherWidth,
    dims: dims.length > 1 ? dims : undefined
  }
}

function readDims(dims, spec) {
  if (dims === undefined) return undefined
  if (!Array.isArray(dims))
    throw wrongType(`input '${spec.name}': dims`, 'an array of whole numbers', dims)
  const { length } = dims
  if (!(length <= MAX_DEPTH)) throw new Refusal('shape', `more than ${MAX_DEPTH} dimensions`)
  const copy = [] // copy by index: the user may have overwritten methods of the array
  for (let i = 0; i < length; ++i) {
    const dim = dims[i]
    if (!Number.isSafeInteger(dim) || dim < 0)
      throw notWhole(`input '${spec.name}': dims`, 'whole numbers of 0 or more', dim)
    copy.push(dim)
  }
  return copy
}

/**
 * Returns the shape for an array of `length` entries. Returns [length] if the signature has more
 * than one free dimension, or if the array does not fit the signature.
 */
function inferDims(spec, length) {
  const perByte = DTYPES[spec.dtype].perByte ?? 1
  let fixed = 1
  let free = -1
  for (let i = 0; i < spec.dims.length; ++i) {
    if (spec.dims[i] !== null) fixed *= spec.dims[i]
    else if (free === -1) free = i
    else return [length]
  }
  if (free === -1) return Math.ceil(fixed / perByte) === length ? spec.dims : [length]
  const elements = length * perByte
  if (fixed === 0 || elements % fixed !== 0) return [length]
  const dims = spec.dims.slice()
  dims[free] = elements / fixed
  return dims
}

function isDetached(buffer) {
  if (buffer.byteLength > 0) return false
  try {
    new Uint8Array(buffer)
    return false
  } catch {
    return true
  }
}

/**
 * Reads one input. Returns {data, isOtherWidth, dims}. `data` is of the class that the input needs;
 * or, if `isOtherWidth`, a Float64Array for a float32 input or a Float32Array for a float64 input,
 * which is still to be converted. `dims` is undefined if it must be inferred. Throws a Refusal.
 */
function readTensor(value, spec) {
  const name = classOf(value)
  if (name !== undefined) {
    if (!DTYPES[spec.dtype].accepts.includes(name)) throw new Refusal('dtype', nameOfClass(name))
    if (lengthOf(value) === 0 && isDetached(bufferOf(value)))
      throw new Refusal('shape', 'a detached array')
    const Class = DTYPES[spec.dtype].Array
    const isOtherWidth = name !== Class.name && spec.dtype in OTHER_WIDTH
    // A Uint16Array for float16 holds raw bits: use its bytes as they are, without conversion.
    const data =
      name === Class.name || isOtherWidth
        ? value
        : new Class(bufferOf(value), offsetOf(value), lengthOf(value))
    return { data, isOtherWidth, dims: readDims(value.dims, spec) }
  }
  if (Array.isArray(value)) {
    const tensor = fromArray(value, spec)
    return { ...tensor, dims: readDims(value.dims, spec) ?? tensor.dims }
  }
  if (value === null || typeof value !== 'object') throw new Refusal('dtype', typeName(value))
  if (ArrayBuffer.isView(value)) throw new Refusal('dtype', 'DataView')
  const { data, dims } = value
  if (classOf(data) === undefined && !Array.isArray(data)) throw new Refusal('dtype', 'object')
  const tensor = readTensor(data, spec)
  return { ...tensor, dims: readDims(dims, spec) ?? tensor.dims }
}

module.exports = { Refusal, inferDims, readTensor }
