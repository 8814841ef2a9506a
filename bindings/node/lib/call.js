// The class Call that model.call() returns: one workspace whose views the user reads and writes.
'use strict'

const { addon } = require('./addon.js')
const { closed, fail } = require('./errors.js')
const { notWhole, readAsync, readTimeout, wrongType } = require('./options.js')
const { submit } = require('./tasks.js')
const { ModelActivity, Workspace } = require('./workspace.js')

const dispose = Symbol.dispose ?? Symbol.for('nodejs.dispose')
const KIND_INPUT = 0
// These errors have the same texts as in core. Core cannot report them, because it does not know
// about runs that wait for a later turn of the event loop. tests/node/core_texts.test.js compares
// the texts.
const busy = () =>
  fail('BUSY', 'the call is running, or a run that it gave up still uses its memory')
const notRun = () =>
  fail('NOT_RUN', 'outputs: expected a successful run before they are read, got none')

function defineGetter(object, name, get, set) {
  Object.defineProperty(object, name, { get, set, enumerable: true })
}

class Call {
  #workspace
  #native
  #timeoutNs
  #isClosed = false
  #isBusy = false
  #hasRun = false
  #strings = [] // the arrays that the user assigned to string inputs, by index of the input

  constructor(native, signature, rows, timeoutNs) {
    if (!(native instanceof addon.Model)) throw new TypeError('calls are opened by model.call()')
    const workspace = new Workspace(native, signature, rows, new ModelActivity())
    this.#workspace = workspace
    this.#native = native
    this.#timeoutNs = timeoutNs
    this.rows = rows
    this.inputs = {}
    this.outputs = {}
    for (const input of workspace.inputs) {
      // As in core: free dimensions other than rows are 1 until the input is reshaped.
      const dims = input.spec.dims.map((dim, i) => dim ?? (i === 0 ? rows : 1))
      if (input.isString) input.dims = dims
      else workspace.own(input, dims, input.spec.takesMissing)
      defineGetter(
        this.inputs,
        input.spec.name,
        () => this.#input(input),
        input.isString ? value => this.#assign(input, value) : undefined
      )
    }
    for (const output of workspace.outputs)
      defineGetter(this.outputs, output.spec.name, () => this.#output(output))
    Object.freeze(this.inputs)
    Object.freeze(this.outputs)
    Object.defineProperty(this, 'rows', { writable: false })
    Object.defineProperty(this, 'inputs', { writable: false })
    Object.defineProperty(this, 'outputs', { writable: false })
  }

  #requireIdle() {
    if (this.#isClosed) throw closed('call')
    if (this.#isBusy) throw busy()
  }

  #input(input) {
    if (input.isString) return this.#strings[input.index]
    // A transferred view stays empty and the engine no longer reads it, so create a new one.
    if (
      input.view.length === 0 &&
      !this.#isBusy &&
      !this.#isClosed &&
      input.dims.every(dim => dim > 0)
    )
      this.#workspace.own(input, input.dims, input.spec.takesMissing)
    return input.view
  }

  #assign(input, value) {
    this.#requireIdle()
    this.#strings[input.index] = undefined
    this.#workspace.read(input, value)
    input.wanted ??= input.dims
    this.#workspace.give(input, false)
    this.#strings[input.index] = value
  }

  #output(output) {
    if (this.#isBusy) throw busy()
    if (!this.#hasRun) throw notRun()
    if (output.view !== null) return output.view
    if (output.fetched === null) {
      if (this.#isClosed) throw closed('call')
      output.fetched = this.#workspace.take(output)
    }
    return output.fetched
  }

  /** Gives an input of strings to which the user has assigned nothing. Its values are missing. */
  #leaveOut(input) {
    const total = input.dims.reduce((product, dim) => product * dim, 1)
    this.#assign(input, new Array(total).fill(null))
  }

  /**
   * Called before each run: throws if a view of an input was transferred, and makes sure that
   * outputs whose view was transferred get new memory.
   */
  #prepare() {
    const { inputs, outputs } = this.#workspace
    for (let i = 0; i < inputs.length; ++i) {
      const { view, dims, spec } = inputs[i]
      if (inputs[i].isString && spec.takesMissing && this.#strings[i] === undefined)
        this.#leaveOut(inputs[i])
      if (view !== null && view.length === 0 && dims.every(dim => dim > 0)) {
        this.#workspace.own(inputs[i], dims, spec.takesMissing)
        throw fail(
          'INVALID_ARGUMENT',
          `input '${spec.name}': expected its values, got a view that was transferred to another ` +
            'thread or buffer: read call.inputs again and fill the new view',
          spec.name
        )
      }
    }
    for (let i = 0; i < outputs.length; ++i) {
      const { view, dims } = outputs[i]
      outputs[i].fetched = null
      if (view !== null && view.length === 0 && dims.every(dim => dim > 0))
        this.#workspace.isShapeStale = true
    }
  }

  runSync(options) {
    this.#requireIdle()
    const timeoutNs =
      options === undefined ? this.#timeoutNs : readTimeout(options, this.#timeoutNs)
    this.#hasRun = false
    this.#prepare()
    this.#workspace.execute(timeoutNs)
    this.#hasRun = true
  }

  run(options) {
    try {
      const { timeoutNs, signal } = readAsync(options, this.#timeoutNs)
      if (signal?.aborted) return Promise.reject(signal.reason)
      this.#requireIdle()
      this.#hasRun = false
      this.#prepare()
      this.#isBusy = true
      const read = () => {
        this.#hasRun = true
      }
      const release = () => {
        this.#isBusy = false
        if (this.#isClosed) this.#workspace.close()
      }
      return submit({
        workspace: this.#workspace,
        timeoutNs,
        signal,
        isShort: false,
        read,
        release
      })
    } catch (error) {
      return Promise.reject(error)
    }
  }

  reshape(name, dims) {
    this.#requireIdle()
    const { inputs } = this.#workspace
    const input = inputs.find(({ spec }) => spec.name === name)
    if (input === undefined) this.#native.find(KIND_INPUT, String(name))
    if (!Array.isArray(dims)) throw wrongType('dims', 'an array of whole numbers', dims)
    for (const dim of dims)
      if (!Number.isSafeInteger(dim)) throw notWhole('dims', 'whole numbers', dim)
    this.#hasRun = false
    if (input.isString) {
      this.#workspace.setDims(input, [...dims])
      return undefined
    }
    return this.#workspace.own(input, [...dims], input.spec.takesMissing)
  }

  close() {
    if (this.#isClosed) return
    this.#isClosed = true
    if (this.#isBusy) this.#workspace.cancel()
    else this.#workspace.close()
  }
}
Object.defineProperty(Call.prototype, dispose, {
  value: Call.prototype.close,
  configurable: true,
  writable: true
})

module.exports = { Call }
