// A workload's folder as a Node program holds it, and the check of answers. ../README.md describes
// the folder.
'use strict'

const fs = require('node:fs')
const path = require('node:path')

const size = dims => dims.reduce((product, dim) => product * dim, 1)

function read(file, Type) {
  const bytes = fs.readFileSync(file)
  return new Type(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength))
}

/** The shortest decimal that gives the same float32: a program sends 5.1, not 5.099999904632568. */
function shorten(value) {
  for (let digits = 6; digits < 9; ++digits) {
    const short = Number(value.toPrecision(digits))
    if (Math.fround(short) === value) return short
  }
  return Number(value.toPrecision(9))
}

/** Converts flat numbers to nested arrays, with the last of `dims` innermost. */
function nest(numbers, dims) {
  if (dims.length <= 1) return numbers
  const step = numbers.length / dims[0]
  return Array.from({ length: dims[0] }, (_, i) =>
    nest(numbers.slice(i * step, (i + 1) * step), dims.slice(1))
  )
}

class Work {
  constructor(folder, rows) {
    Object.assign(this, JSON.parse(fs.readFileSync(path.join(folder, 'workload.json'), 'utf8')))
    this.folder = folder
    this.model = path.join(folder, 'model.onnx')
    this.rows = rows
    const all = this.ring + this.max_rows
    if (this.kind === 'record') {
      this.records = fs
        .readFileSync(path.join(folder, 'records.jsonl'), 'utf8')
        .trim()
        .split('\n')
        .map(line => JSON.parse(line))
    } else {
      this.width = size(this.input.dims)
      this.dims = [rows, ...this.input.dims]
      this.floats = read(path.join(folder, 'input.f32'), Float32Array)
    }
    this.expect(path.join(folder, 'expected.f64'))
    this.labels = read(path.join(folder, 'labels.i64'), BigInt64Array)
    if (rows > this.max_rows || this.expected.length % all !== 0)
      throw new Error(`${folder}: expected ${all} rows of answers`)
  }

  /** Loads the file of expected answers; generated code has its own file. */
  expect(file) {
    this.expected = read(file, Float64Array)
    this.numbers = this.expected.length / (this.ring + this.max_rows)
  }

  /** The rows of call i, for approaches that take tensors. */
  tensor(i) {
    const row = i % this.ring
    return this.floats.subarray(row * this.width, (row + this.rows) * this.width)
  }

  record(i) {
    return this.records[i % this.ring]
  }

  /**
   * The rows of call i as nested arrays of numbers, as a program holds the data that it sends as
   * JSON. Each row is converted only once.
   */
  nested(i) {
    this.plain ??= new Map()
    return Array.from({ length: this.rows }, (_, k) => {
      const row = (i % this.ring) + k
      if (!this.plain.has(row)) {
        const numbers = Array.from(
          this.floats.subarray(row * this.width, (row + 1) * this.width),
          shorten
        )
        this.plain.set(row, nest(numbers, this.input.dims))
      }
      return this.plain.get(row)
    })
  }

  /**
   * Checks the answer to call i: `labels` (undefined if the approach has none) and `values` (one
   * array per output, with all rows).
   */
  isRight(i, { labels, values }) {
    const first = i % this.ring
    const counts = values.map(one => one.length / this.rows)
    if (
      counts.reduce((sum, count) => sum + count, 0) !== this.numbers ||
      (labels !== undefined && labels.length !== this.rows)
    )
      return false
    for (let row = 0; row < this.rows; ++row) {
      let at = (first + row) * this.numbers
      for (let output = 0; output < values.length; ++output) {
        for (let k = 0; k < counts[output]; ++k, ++at) {
          if (
            !(
              Math.abs(Number(values[output][row * counts[output] + k]) - this.expected[at]) <=
              this.tolerance
            )
          )
            return false
        }
      }
      const index = Number(this.labels[first + row])
      if (labels !== undefined && index >= 0 && String(labels[row]) !== String(this.classes[index]))
        return false
    }
    return true
  }

  /**
   * Makes the argument of `isRight` from outputs by name: typed arrays, or nested arrays as in
   * JSON.
   */
  readTensors(answer) {
    const found = { labels: undefined, values: [] }
    for (const { name } of this.outputs) {
      if (name === 'label') found.labels = answer.label
      else
        found.values.push(Array.isArray(answer[name]) ? answer[name].flat(Infinity) : answer[name])
    }
    return found
  }

  readRecord({ label, probabilities }) {
    return { labels: [label], values: [this.classes.map(name => probabilities[name])] }
  }
}

module.exports = { Work, size }
