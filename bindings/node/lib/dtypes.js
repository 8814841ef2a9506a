// Element types in JavaScript: the typed array class for each type, and the type name for each
// class. Used by all code that handles tensors.
'use strict'

/**
 * The class for half precision: Float16Array if this version of Node has it, otherwise Uint16Array
 * for the raw bits.
 */
const Half = globalThis.Float16Array ?? Uint16Array

const raw8 = { Array: Uint8Array, accepts: ['Uint8Array'], isRaw: true }
const DTYPES = {
  float32: { Array: Float32Array, accepts: ['Float32Array', 'Float64Array'] },
  float64: { Array: Float64Array, accepts: ['Float64Array', 'Float32Array'] },
  float16: { Array: Half, accepts: ['Float16Array', 'Uint16Array'], isRaw: Half === Uint16Array },
  bfloat16: { Array: Uint16Array, accepts: ['Uint16Array'], isRaw: true },
  int8: { Array: Int8Array, accepts: ['Int8Array'] },
  int16: { Array: Int16Array, accepts: ['Int16Array'] },
  int32: { Array: Int32Array, accepts: ['Int32Array'] },
  int64: { Array: BigInt64Array, accepts: ['BigInt64Array'] },
  uint8: { Array: Uint8Array, accepts: ['Uint8Array'] },
  uint16: { Array: Uint16Array, accepts: ['Uint16Array'] },
  uint32: { Array: Uint32Array, accepts: ['Uint32Array'] },
  uint64: { Array: BigUint64Array, accepts: ['BigUint64Array'] },
  bool: { Array: Uint8Array, accepts: ['Uint8Array'] },
  string: { Array, accepts: [] },
  float8e4m3fn: raw8,
  float8e4m3fnuz: raw8,
  float8e5m2: raw8,
  float8e5m2fnuz: raw8,
  uint4: { ...raw8, perByte: 2 },
  int4: { ...raw8, perByte: 2 }
}

// For each class of typed arrays, the name that the library uses for the type of such a tensor.
const NAME_OF_CLASS = {
  Float16Array: 'float16',
  Float32Array: 'float32',
  Float64Array: 'float64',
  Int8Array: 'int8',
  Int16Array: 'int16',
  Int32Array: 'int32',
  BigInt64Array: 'int64',
  Uint8Array: 'uint8',
  Uint16Array: 'uint16',
  Uint32Array: 'uint32',
  BigUint64Array: 'uint64'
}

const TypedArrayPrototype = Object.getPrototypeOf(Uint8Array.prototype)
const getter = name => {
  const { get } = Object.getOwnPropertyDescriptor(TypedArrayPrototype, name)
  return value => Reflect.apply(get, value, [])
}

/**
 * Returns the class name of a typed array, for example 'Float32Array', also if it comes from
 * another realm or is an instance of a subclass; undefined for any other value. This function and
 * the three getters below ignore properties that the user has overwritten.
 */
const classOf = getter(Symbol.toStringTag)
const lengthOf = getter('length')
const bufferOf = getter('buffer')
const offsetOf = getter('byteOffset')

/** For float32 the dtype number of float64 in the C API, and for float64 that of float32. */
const OTHER_WIDTH = { float32: 11, float64: 1 }

const nameOfClass = name => NAME_OF_CLASS[name] ?? name

const LARGEST_FLOAT32 = 3.4028234663852886e38

module.exports = {
  DTYPES,
  LARGEST_FLOAT32,
  OTHER_WIDTH,
  bufferOf,
  classOf,
  lengthOf,
  nameOfClass,
  offsetOf
}
