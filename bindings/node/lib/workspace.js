// A workspace: one native call and the views of its memory. runner.js keeps a pool of them for the
// runs of a model; each Call (call.js) owns one.
'use strict'

const { addon } = require('./addon.js')
const { DTYPES, LARGEST_FLOAT32, OTHER_WIDTH, bufferOf, lengthOf } = require('./dtypes.js')
const { SidecallError, outOfMemory, withGot } = require('./errors.js')
const { types } = require('node:util')
const { encodeStrings } = require('./text.js')
const { Refusal, inferDims, readTensor } = require('./tensors.js')

// Below this size a copy is cheaper than binding the engine to other memory (0.4 us).
const LARGE_BYTES = 32 * 1024
const BULKY_BYTES = 1024 * 1024
// A run that takes less time than this is short. A hop to a thread and back takes 20 to 70 us.
const SHORT_NS = 50_000
// The number of runs after which the library is asked again whether a run is short.
const ASK_AFTER = 16
// After a run on the event loop has taken so long, so many runs take place elsewhere, and the
// library measures them.
const LONG_NS = 2_000_000
const NUM_OFF_LOOP = 64

function isSame(a, b) {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; ++i) {
    if (a[i] !== b[i]) return false
  }
  return true
}

function count(dims, perByte = 1) {
  let product = 1
  for (let i = 0; i < dims.length; ++i) product *= dims[i]
  return perByte === 1 ? product : Math.ceil(product / perByte)
}

/** Sets the shape of a tensor; `dims` must already be frozen. */
function withDims(data, dims) {
  return Object.defineProperty(data, 'dims', { value: dims, configurable: true })
}

/**
 * Whether each double is infinite or at most the largest float32. Core rounds or refuses the
 * others.
 */
function fitsFloat32(doubles) {
  const length = lengthOf(doubles)
  for (let i = 0; i < length; ++i) {
    const size = Math.abs(doubles[i])
    if (size > LARGEST_FLOAT32 && size !== Infinity) return false
  }
  return true
}

class Input {
  constructor(spec, index) {
    this.spec = spec
    this.index = index
    this.perByte = DTYPES[spec.dtype].perByte ?? 1
    this.isString = spec.dtype === 'string'
    this.width = DTYPES[spec.dtype].Array.BYTES_PER_ELEMENT
    this.dims = null
    // A view of our own memory, of the shape `dims`; null if the engine reads other memory or has
    // its own copy.
    this.view = null
    this.inferred = -1 // the length that `dims` were inferred from
    this.data = null // the data for the next run, between read() and give()
    // Whether `data` is float64 for a float32 input, or float32 for a float64 input.
    this.isOtherWidth = false
    this.wanted = undefined // the dims that the user gave; undefined if they are to be inferred
  }
}

class Output {
  constructor(spec, index) {
    this.spec = spec
    this.index = index
    this.isString = spec.dtype === 'string'
    this.Class = DTYPES[spec.dtype].Array
    this.perByte = DTYPES[spec.dtype].perByte ?? 1
    this.dims = null // null if the shape does not follow from the inputs
    // A view of the memory that the engine writes; null for strings, and if the shape is known only
    // after a run.
    this.view = null
    this.fetched = null // the tensor of the last run, if there is no view
  }
}

/** What the workspaces of a model share. */
class ModelActivity {
  constructor() {
    this.numOffLoop = 0 // how many runs go to the library before one may stay on the event loop
  }
}

class Workspace {
  constructor(native, signature, rows, activity) {
    this.activity = activity
    this.task = null // the asynchronous run under way
    try {
      const onFail = (error, isHeld) => this.task.onFail(error, isHeld)
      this.native = new addon.Call(native, rows, onFail)
    } catch (error) {
      // The addon had no memory for the object itself.
      throw error.message === 'std::bad_alloc' ? outOfMemory() : error
    }
    this.run = this.native.run // without arguments and result
    this.setRecords = this.native.setRecords
    this.readText = this.native.readText
    // Only a feature can be missing. In a model with features, every column of every input belongs
    // to a feature, so every string input of such a model takes missing values.
    const takesMissing = signature.features.length > 0
    this.inputs = signature.inputs.map((spec, i) => new Input({ ...spec, takesMissing }, i))
    this.outputs = signature.outputs.map((spec, i) => new Output(spec, i))
    this.rows = rows // the number of rows that the setters of core use
    this.isShapeStale = true
    this.isBulky = false // it may hold a tensor of more than BULKY_BYTES
    this.lastSize = -1 // of the inputs of the last run(); see Runner
    this.wasShort = false // what the library has answered
    this.untilAsk = 0 // how many runs from now the library is asked again
  }

  /**
   * Allocates new memory of our own for an input. The previous values of the input are lost. With
   * `isMissing`, all values are missing until others are written; otherwise they are zero.
   */
  own(input, dims, isMissing = false) {
    const { Array: Class } = DTYPES[input.spec.dtype]
    input.view = null
    const buffer = this.native.ownInput(input.index, input.spec.type, dims, isMissing)
    input.view = new Class(buffer, 0, count(dims, input.perByte))
    this.setDims(input, dims)
    this.isBulky ||= input.view.byteLength > BULKY_BYTES
    return input.view
  }

  setDims(input, dims) {
    input.inferred = -1
    if (input.dims === null || !isSame(input.dims, dims)) this.isShapeStale = true
    input.dims = dims
  }

  /** Reads one input, but does not pass it to the engine yet. Runs code of the user. */
  read(input, value) {
    try {
      const { data, isOtherWidth, dims } = readTensor(value, input.spec)
      input.data = data
      input.isOtherWidth = isOtherWidth
      input.wanted = dims
    } catch (refusal) {
      if (refusal instanceof Refusal) this.refuse(input, refusal)
      throw refusal
    }
  }

  /** Throws the error of core for this input, which says what core expects. */
  refuse(input, { kind, got }) {
    if (kind === 'dtype') this.native.refuseInput(input.index, got)
    try {
      const dims = input.spec.dims.concat(1).map(dim => dim ?? 1)
      this.native.copyInput(input.index, input.spec.type, dims, new Uint8Array(0))
    } catch (error) {
      if (!(error instanceof SidecallError)) throw error
      throw withGot(error, got)
    }
  }

  /**
   * Passes the data of the last read() to the engine. No code of the user may run between this call
   * and the end of the run, because it could detach borrowed memory. The data may be an instance of
   * a subclass that the user wrote, so do not read its properties directly.
   *
   * `mayBorrow`: the run ends before any other JavaScript code runs, so the engine may read the
   * caller's memory in place.
   */
  give(input, mayBorrow) {
    const { data, isOtherWidth, spec } = input
    const length = input.isString ? data.length : lengthOf(data)
    const { wanted, view } = input
    input.data = null
    const isBeyond = isOtherWidth && spec.dtype === 'float32' && !fitsFloat32(data)
    const isSameShape =
      view !== null &&
      length === view.length &&
      (wanted === undefined ? input.inferred === length : isSame(wanted, input.dims))
    if (isSameShape && !isBeyond) {
      view.set(data) // also converts between float32 and float64
      return
    }
    const dims = wanted ?? inferDims(spec, length)
    if (input.isString) return this.giveStrings(input, data, dims, wanted)
    const isFitting = length === count(dims, input.perByte)
    if (!isFitting || isBeyond || !this.fits(spec, dims)) {
      input.view = null
      this.native.copyInput(
        input.index,
        isOtherWidth ? OTHER_WIDTH[spec.dtype] : spec.type,
        dims,
        isBeyond ? new Float64Array(data) : data
      ) // core reports the error, if there is one
      this.setDims(input, dims)
    } else if (
      mayBorrow &&
      !isOtherWidth &&
      length * input.width >= LARGE_BYTES &&
      !types.isSharedArrayBuffer(bufferOf(data))
    ) {
      input.view = null
      this.native.borrowInput(input.index, spec.type, dims, data)
      this.setDims(input, dims)
    } else {
      this.own(input, dims).set(data)
      input.inferred = wanted === undefined ? length : -1
    }
  }

  fits(spec, dims) {
    if (dims.length !== spec.dims.length) return false
    for (let i = 0; i < dims.length; ++i) {
      if (spec.dims[i] !== null && spec.dims[i] !== dims[i]) return false
    }
    return true
  }

  giveStrings(input, strings, dims, wanted) {
    if (wanted !== undefined && strings.length !== count(wanted))
      this.refuse(input, new Refusal('shape', `${strings.length} strings`))
    const { bytes, ends } = encodeStrings(strings)
    this.native.giveStrings(input.index, input.spec.type, dims, bytes, ends)
    this.setDims(input, dims)
  }

  /**
   * After the shape of an input has changed: allocates memory for the outputs whose shape follows
   * from the inputs.
   */
  settle() {
    const all = this.native.outputDims()
    for (const output of this.outputs) {
      const dims = all[output.index] && Object.freeze(all[output.index])
      output.view = null
      output.dims = dims
      if (dims === null || output.isString) continue
      const { Class, perByte } = output
      output.view = withDims(
        new Class(this.native.ownOutput(output.index), 0, count(dims, perByte)),
        dims
      )
      this.isBulky ||= output.view.byteLength > BULKY_BYTES
    }
    this.isShapeStale = false
  }

  /** Returns the tensor of an output after a run, copied into new memory. */
  take(output) {
    if (output.view !== null) return withDims(new output.Class(output.view), output.dims)
    const [dims, raw] = this.native.readOutput(output.index)
    const { Class } = output
    return withDims(output.isString ? raw : new Class(raw), Object.freeze(dims))
  }

  takeAll() {
    const result = {}
    for (let i = 0; i < this.outputs.length; ++i) {
      const output = this.outputs[i]
      const tensor = this.take(output)
      if (output.spec.name === '__proto__')
        Object.defineProperty(result, '__proto__', {
          value: tensor,
          enumerable: true,
          configurable: true,
          writable: true
        })
      else result[output.spec.name] = tensor
    }
    return result
  }

  /** Discards all inputs: the next run uses only inputs that are given after this call. */
  forget() {
    this.native.reset()
    for (const input of this.inputs) input.view = null
  }

  prepare() {
    if (this.isShapeStale) this.settle()
  }

  execute(timeoutNs) {
    if (this.isShapeStale) this.settle()
    if (timeoutNs === -1) this.run()
    else this.native.runUntil(timeoutNs)
  }

  /** Whether the next run takes so little time that it should execute on the event loop. */
  get isShort() {
    if (this.activity.numOffLoop > 0) {
      --this.activity.numOffLoop
      return false
    }
    if (this.isShapeStale || --this.untilAsk < 0) {
      this.wasShort = this.native.expectedNs() < SHORT_NS
      this.untilAsk = this.wasShort ? ASK_AFTER : 0
    }
    return this.wasShort
  }

  /** A run has taken `ns` on the event loop. */
  noteRunOnLoop(ns) {
    if (ns >= LONG_NS) this.activity.numOffLoop = NUM_OFF_LOOP
  }

  /** The number of elements that were read for the next run. */
  get size() {
    let size = 0
    for (const { data, isString } of this.inputs)
      size += data === null ? 0 : isString ? data.length : lengthOf(data)
    return size
  }

  /** Returns the size of all views in bytes, and updates isBulky. */
  weigh() {
    let bytes = 0
    for (const { view } of this.inputs) bytes += view === null ? 0 : view.byteLength
    for (const { view } of this.outputs) bytes += view === null ? 0 : view.byteLength
    this.isBulky = bytes > BULKY_BYTES
    return bytes
  }

  /** Cancels the run under way. The caller must call close() when the run has ended. */
  cancel() {
    this.native.cancel()
  }

  close() {
    this.native.close()
  }
}

module.exports = { ModelActivity, Workspace }
