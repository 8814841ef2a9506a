// Converts the outputs of a run to the records that `predict` returns; used by runner.js.
'use strict'

const { compileAnswer } = require('./quick.js')

const SCALAR = 0
const MEMBER = 1

function fromBigInt(value) {
  return value >= -9007199254740992n && value <= 9007199254740992n ? Number(value) : value
}

/**
 * Returns the function that converts one element of an output to its JavaScript value: a boolean
 * for bool columns, a number or bigint for 64-bit integers.
 */
function readerOf(column, spec) {
  if (column.dtype === 'bool')
    return spec.dtype === 'int64' ? value => value !== 0n : value => value !== 0
  return spec.dtype === 'int64' || spec.dtype === 'uint64' ? fromBigInt : value => value
}

function defineMember(record, name, value) {
  if (name === '__proto__')
    Object.defineProperty(record, name, {
      value,
      enumerable: true,
      configurable: true,
      writable: true
    })
  else record[name] = value
}

/** The columns of one output. They are contiguous in the list of columns. */
class Part {
  constructor(columns, first, spec, outputIndex) {
    this.name = spec.name
    this.outputIndex = outputIndex
    this.rank = spec.dims.length
    this.form = columns[first].form
    this.first = first // index in the model's list of columns
    this.keys = []
    this.columns = []
    for (let i = first; i < columns.length && columns[i].output === spec.name; ++i) {
      this.keys.push(columns[i].key)
      this.columns.push(columns[i].column)
    }
    this.widest = Math.max(...this.columns)
    this.read = readerOf(columns[first], spec)
    this.isDirect = columns[first].dtype.startsWith('float')
    this.isText = this.form === SCALAR && columns[first].dtype === 'string'
  }

  valueAt(data, at) {
    return this.isDirect ? data[at] : this.read(data[at])
  }

  value(data, base) {
    const { columns, keys } = this
    if (this.form === SCALAR) return this.valueAt(data, base + columns[0])
    if (this.form === MEMBER) {
      const members = {}
      for (let i = 0; i < columns.length; ++i)
        defineMember(members, keys[i], this.valueAt(data, base + columns[i]))
      return members
    }
    const elements = new Array(columns.length)
    for (let i = 0; i < columns.length; ++i) elements[i] = this.valueAt(data, base + columns[i])
    return elements
  }
}

class Answers {
  constructor(signature) {
    const { columns, outputs } = signature
    this.parts = []
    for (let i = 0; i < columns.length; ) {
      const index = outputs.findIndex(spec => spec.name === columns[i].output)
      const part = new Part(columns, i, outputs[index], index)
      this.parts.push(part)
      i += part.columns.length
    }
    this.quick = compileAnswer(this.parts)
  }

  /**
   * Returns the data of one output and the width of its rows. If the shape does not match the
   * declaration, refuseColumn() throws an error whose text comes from core.
   */
  static take(workspace, part, rows) {
    const output = workspace.outputs[part.outputIndex]
    const data = output.view ?? workspace.take(output)
    const { dims } = data
    const width = dims.length < 2 ? 1 : dims[1]
    if (dims.length !== part.rank || part.widest >= width)
      workspace.native.refuseColumn(0, part.first + part.columns.indexOf(part.widest))
    if (dims[0] < rows) workspace.native.refuseColumn(dims[0], part.first)
    return { data, width }
  }

  /** Returns the data of one output of a run with one record; the string itself if isText. */
  static takeOne(workspace, part) {
    return part.isText ? workspace.readText(part.first) : Answers.take(workspace, part, 1).data
  }

  /** Returns the answer for a run with one record. */
  one(workspace) {
    const { parts, quick } = this
    if (quick !== null && parts.length === 2)
      return quick(Answers.takeOne(workspace, parts[0]), Answers.takeOne(workspace, parts[1]))
    if (quick !== null) return quick(...parts.map(part => Answers.takeOne(workspace, part)))
    const record = {}
    for (let i = 0; i < parts.length; ++i) {
      const part = parts[i]
      const data = Answers.takeOne(workspace, part)
      defineMember(record, part.name, part.isText ? data : part.value(data, 0))
    }
    return record
  }

  many(workspace, rows) {
    const taken = this.parts.map(part => Answers.take(workspace, part, rows))
    const records = new Array(rows)
    for (let row = 0; row < rows; ++row) {
      const record = {}
      for (let i = 0; i < taken.length; ++i)
        defineMember(
          record,
          this.parts[i].name,
          this.parts[i].value(taken[i].data, row * taken[i].width)
        )
      records[row] = record
    }
    return records
  }
}

module.exports = { Answers }
