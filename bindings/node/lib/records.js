// Reads records into a staging area; used by runner.js. This code reads each property of a record
// only once; if the compiled reader of quick.js gave up before, the property has been read there
// too. The values then go either directly into the engine's memory (if all are plain numbers) or
// through the setters of core, which report every fault.
'use strict'

const { types } = require('node:util')
const { LARGEST_FLOAT32 } = require('./dtypes.js')
const { compileReader } = require('./quick.js')
const { INVALID } = require('./text.js')
const { typeName } = require('./options.js')

// The kinds of staged values; must match enum Kind in src/call_records.cpp.
const ABSENT = 0
const NUMBER = 1
const BIGINT = 2
const FALSE = 3
const TRUE = 4
const MISSING = 5
const STRING = 6
const INVALID_VALUE = 7 // setInvalid() reports this value
const EPOCH = 8 // the text of a number for a datetime feature
const DATE = 9 // milliseconds since 1970

const BIG_LOW = -(2n ** 63n)
const BIG_HIGH = 2n ** 63n - 1n
const SHORT_TEXT = 64
// A staging area with more values, or more bytes of text, than this is not kept for the next
// records.
const MAX_VALUES = 2 ** 20
const MAX_TEXT = 2 ** 23

/**
 * Whether the value can be a record: an object that is not an array, a buffer or one of the
 * built-in types below. An instance of a class is a record; its own enumerable properties are the
 * features.
 */
function isRecord(value) {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return false
  return !(
    ArrayBuffer.isView(value) ||
    types.isAnyArrayBuffer(value) ||
    types.isMap(value) ||
    types.isSet(value) ||
    types.isDate(value) ||
    types.isRegExp(value) ||
    types.isPromise(value) ||
    types.isBoxedPrimitive(value)
  )
}

function isPlainObject(value) {
  if (typeof value !== 'object' || value === null) return false
  const prototype = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

function nameOf(value) {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return typeName(value)
  if (types.isProxy(value) || isPlainObject(value)) return 'object'
  try {
    const { name } = Object.getPrototypeOf(value).constructor
    return typeof name === 'string' && name !== '' ? name : 'object'
  } catch {
    return 'object'
  }
}

function isUnsafe(value) {
  return Math.abs(value) > Number.MAX_SAFE_INTEGER
}

function isPrototypeClean() {
  for (const _ in Object.prototype) return false
  return true
}

/**
 * The staging area: the values of the records of one call of predict, one for each row and feature.
 */
class Staging {
  constructor(layout) {
    this.layout = layout
    this.kinds = new Uint8Array(0)
    this.numbers = new Float64Array(0)
    this.integers = new BigInt64Array(this.numbers.buffer)
    this.lengths = new Uint32Array(0)
    this.text = Buffer.alloc(0)
    this.reset(1)
  }

  reset(rows) {
    const size = rows * this.layout.names.length
    if (size > this.kinds.length) {
      this.kinds = new Uint8Array(size)
      this.numbers = new Float64Array(size)
      this.integers = new BigInt64Array(this.numbers.buffer)
      this.lengths = new Uint32Array(size)
    }
    this.rows = rows
    this.isPlain = this.layout.isPlain
    this.used = 0 // bytes of text
    this.invalid = null // [row, feature, got], ...
    this.unknown = null // [row, name], ...
  }

  get isBulky() {
    return this.kinds.length > MAX_VALUES || this.text.length > MAX_TEXT
  }

  addString(at, value) {
    const length = value.length
    let used = this.used
    if (used + length * 3 > this.text.length) this.growText(length * 3)
    const { text } = this
    this.kinds[at] = STRING
    this.numbers[at] = used
    let i = 0
    if (length <= SHORT_TEXT) {
      for (; i < length; ++i) {
        const code = value.charCodeAt(i)
        if (code > 127) break
        text[used + i] = code
      }
    }
    if (i < length || length > SHORT_TEXT) {
      if (value.isWellFormed()) {
        used += text.write(value, used)
      } else {
        text[used] = INVALID
        used += 1
      }
    } else {
      used += length
    }
    this.lengths[at] = used - this.used
    this.used = used
  }

  growText(needed) {
    const grown = Buffer.allocUnsafeSlow(Math.max(256, (this.used + needed) * 2))
    this.text.copy(grown, 0, 0, this.used)
    this.text = grown
  }

  addBigInt(at, value, row, feature) {
    this.isPlain = false
    if (value >= BIG_LOW && value <= BIG_HIGH) {
      this.kinds[at] = BIGINT
      this.integers[at] = value
      return
    }
    // The value does not fit into int64, so pass it as a number: core rejects it for an int64
    // feature, and accepts it for a float feature that can hold it. Rounding must not bring the
    // value back into the range of int64. This can happen only to a value that rounds to -2^63, so
    // that number is doubled.
    const number = Number(value)
    if (!Number.isFinite(number))
      return this.addInvalid(at, row, feature, 'an integer beyond float64')
    this.kinds[at] = NUMBER
    this.numbers[at] = this.layout.isInteger[feature] && number === -(2 ** 63) ? number * 2 : number
  }

  /**
   * Stages a number or a Date for a datetime feature. A number is passed as text: core converts it
   * without rounding.
   */
  addDatetime(at, value, row, feature) {
    this.isPlain = false
    if (typeof value === 'object') {
      if (!this.layout.hasZone[feature])
        return this.addInvalid(at, row, feature, 'a Date, which has a zone; send text without one')
      const time = Date.prototype.getTime.call(value)
      if (Number.isNaN(time)) return this.addString(at, 'Invalid Date')
      this.kinds[at] = DATE
      this.numbers[at] = time
      return
    }
    // A whole number beyond 2^53 may already have lost digits, as in addOther().
    const isLost = typeof value === 'number' && Number.isInteger(value) && isUnsafe(value)
    if (typeof value === 'number' && !Number.isFinite(value)) {
      this.kinds[at] = NUMBER
      this.numbers[at] = value
      return
    }
    this.addString(at, isLost ? '1e999' : String(value))
    this.kinds[at] = EPOCH
  }

  addInvalid(at, row, feature, got) {
    this.isPlain = false
    this.kinds[at] = INVALID_VALUE
    this.invalid ??= []
    this.invalid.push([row, feature, got])
  }

  addUnknown(row, name) {
    if (this.layout.ignoresExtra) return
    this.isPlain = false
    this.unknown ??= []
    this.unknown.push([row, name])
  }

  addMissing(at, feature) {
    this.kinds[at] = MISSING
    this.numbers[at] = NaN
    if (!this.layout.isNanMissing[feature]) this.isPlain = false
  }

  /** Stages any value that is not a number in the range of its feature. */
  addOther(at, value, row, feature) {
    const { layout } = this
    switch (typeof value) {
      case 'number':
        if (Number.isNaN(value)) return this.addMissing(at, feature)
        if (layout.isDatetime[feature]) return this.addDatetime(at, value, row, feature)
        this.kinds[at] = NUMBER
        // A whole number beyond 2^53 may already have lost digits, so make it so large that core
        // reports it as out of range.
        this.numbers[at] =
          layout.isInteger[feature] && isUnsafe(value) ? Math.sign(value) * Number.MAX_VALUE : value
        if (!layout.isExactInteger(feature, value)) this.isPlain = false
        return
      case 'string':
        this.isPlain = false
        return this.addString(at, value)
      case 'boolean':
        this.kinds[at] = value ? TRUE : FALSE
        this.numbers[at] = value ? 1 : 0
        if (!layout.isPlainBool[feature]) this.isPlain = false
        return
      case 'bigint':
        if (layout.isDatetime[feature]) return this.addDatetime(at, value, row, feature)
        return this.addBigInt(at, value, row, feature)
      case 'undefined':
        return this.addMissing(at, feature)
      default:
        if (value === null) return this.addMissing(at, feature)
        if (layout.isDatetime[feature] && types.isDate(value))
          return this.addDatetime(at, value, row, feature)
        return this.addInvalid(
          at,
          row,
          feature,
          Array.isArray(value) ? 'array' : typeof value === 'object' ? nameOf(value) : typeof value
        )
    }
  }

  /** Stages the values of one record. Runs code of the user. */
  read(record, row) {
    const { layout } = this
    const { names, low, high } = layout
    const num = names.length
    const base = row * num
    this.kinds.fill(ABSENT, base, base + num)
    if (!isPlainObject(record) || !isPrototypeClean()) return this.readSlowly(record, row)
    const { kinds, numbers } = this
    let seen = 0
    let guess = 0
    for (const name in record) {
      let feature = guess
      if (guess >= num || names[guess] !== name) {
        feature = layout.index.get(name)
        if (feature === undefined) {
          this.addUnknown(row, name)
          continue
        }
      }
      guess = feature + 1
      ++seen
      const value = record[name]
      const at = base + feature
      if (typeof value === 'number' && value >= low[feature] && value <= high[feature]) {
        kinds[at] = NUMBER
        numbers[at] = value
      } else {
        this.addOther(at, value, row, feature)
      }
    }
    if (seen < num) this.fillAbsent(base)
    else if (layout.quick !== null) layout.learnOrder(record)
  }

  readSlowly(record, row) {
    if (!isRecord(record)) {
      this.isPlain = false
      this.invalid ??= []
      this.invalid.push([row, -1, nameOf(record)])
      return
    }
    const { names, index } = this.layout
    const base = row * names.length
    for (const name of Object.keys(record)) {
      const feature = index.get(name)
      if (feature === undefined) this.addUnknown(row, name)
      else this.addOther(base + feature, record[name], row, feature)
    }
    this.fillAbsent(base)
  }

  fillAbsent(base) {
    const { names, isNanMissing } = this.layout
    for (let feature = 0; feature < names.length; ++feature) {
      if (this.kinds[base + feature] !== ABSENT) continue
      this.numbers[base + feature] = NaN
      if (!isNanMissing[feature]) this.isPlain = false
    }
  }

  /** Writes plain values into the memory that the engine reads. */
  write(inputs) {
    const { rows, numbers, layout } = this
    const { names, inputOf, columnOf, widthOf } = layout
    const num = names.length
    if (layout.isMatrix) {
      const { view } = inputs[0]
      for (let i = 0; i < rows * num; ++i) view[i] = numbers[i]
      return
    }
    for (let feature = 0; feature < num; ++feature) {
      const { view } = inputs[inputOf[feature]]
      const width = widthOf[feature]
      for (let row = 0, at = columnOf[feature]; row < rows; ++row, at += width)
        view[at] = numbers[row * num + feature]
    }
  }

  /** Passes all values and faults to the setters of core. */
  set(workspace) {
    const { invalid, unknown } = this
    const isCleared = invalid !== null || unknown !== null
    if (isCleared) {
      const { native } = workspace
      native.clear(this.rows)
      for (const [row, feature, got] of invalid ?? []) native.setInvalid(row, feature, got)
      for (const [row, name] of unknown ?? []) native.setUnknown(row, name)
    }
    workspace.setRecords(
      this.rows,
      this.layout.names.length,
      isCleared,
      this.kinds,
      this.numbers,
      this.lengths,
      this.text
    )
  }
}

/**
 * For each feature, its place in the inputs and the values that may be written there without a
 * check by core. Made once for each model.
 */
class Layout {
  constructor(signature, isClosed, ignoresExtra) {
    const { features, inputs } = signature
    const inputIndex = new Map(inputs.map((spec, i) => [spec.name, i]))
    this.ignoresExtra = ignoresExtra
    this.names = features.map(feature => feature.name)
    this.index = new Map(this.names.map((name, i) => [name, i]))
    this.inputOf = features.map(feature => inputIndex.get(feature.input))
    this.columnOf = features.map(feature => feature.column)
    const specs = this.inputOf.map(i => inputs[i])
    // Each column of an input belongs to exactly one feature.
    this.widths = inputs.map((_, i) => this.inputOf.filter(input => input === i).length)
    this.widthOf = this.inputOf.map(i => this.widths[i])
    const isFloat = specs.map(spec => spec.dtype === 'float32' || spec.dtype === 'float64')
    const isNumber = features.map(
      ({ dtype }, i) => isFloat[i] && (dtype === 'float32' || dtype === 'float64')
    )
    // A range with NaN as its limit is empty, so every number of that feature goes to addOther.
    // Infinity also goes there: it is rare, and core decides about it.
    const limit = specs.map((spec, i) =>
      isNumber[i] ? (spec.dtype === 'float32' ? LARGEST_FLOAT32 : Number.MAX_VALUE) : NaN
    )
    this.high = Float64Array.from(limit)
    this.low = this.high.map(value => -value)
    this.isNanMissing = features.map((feature, i) => feature.nullable && isFloat[i])
    this.isPlainBool = features.map((feature, i) => feature.dtype === 'bool' && isFloat[i])
    this.integerIn = features.map((feature, i) =>
      feature.dtype === 'int64' && isFloat[i] ? specs[i].dtype : ''
    )
    this.isInteger = features.map(feature => feature.dtype === 'int64')
    this.isDatetime = features.map(feature => feature.dtype === 'datetime')
    this.hasZone = features.map(feature => feature.zone !== undefined)
    // If a feature has a closed list of values, the records go through the setters of core, which
    // compare each value with the list.
    this.isPlain =
      features.length > 0 &&
      isFloat.every(Boolean) &&
      this.widths.every(width => width > 0) &&
      !isClosed.some(Boolean)
    this.isMatrix =
      this.isPlain && inputs.length === 1 && this.columnOf.every((column, i) => column === i)
    this.quick = compileReader(this)
    this.order = this.names
  }

  /**
   * Remembers the order of the keys. Records from the same code usually have the same order, so the
   * compiled reader expects the order of the last record.
   */
  learnOrder(record) {
    const order = Object.keys(record)
    if (order.length === this.names.length && order.every(name => this.index.has(name)))
      this.order = order
  }

  /** Returns the shape of input `i` for `rows` rows. */
  dimsOf(spec, i, rows) {
    return spec.dims.length < 2 ? [rows] : [rows, this.widths[i]]
  }

  isExactInteger(feature, value) {
    const dtype = this.integerIn[feature]
    if (dtype === '' || !Number.isSafeInteger(value)) return false
    return dtype === 'float64' || Math.fround(value) === value
  }
}

module.exports = { Layout, Staging, isRecord, nameOf }
