// The class Model that open() returns: checks arguments and passes them to runner.js and call.js.
'use strict'

const { inspect } = require('node:util')
const { addon } = require('./addon.js')
const { Call } = require('./call.js')
const { readAsync, readTimeout, checkNames, notWhole } = require('./options.js')
const { Runner } = require('./runner.js')

const CALL = new Set(['rows'])
const ROUTES = ['in process', 'other process', 'network'] // by SIDECALL_ROUTE_*, from 1
const dispose = Symbol.dispose ?? Symbol.for('nodejs.dispose')

function freeze(value) {
  if (value === null || typeof value !== 'object') return value
  for (const member of Object.values(value)) freeze(member)
  return Object.freeze(value)
}

const FEATURE = ['name', 'dtype', 'nullable', 'input', 'column', 'unit', 'zone', 'epoch']

const pick = (object, names) =>
  Object.fromEntries(names.filter(name => name in object).map(name => [name, object[name]]))

/**
 * Returns the part of the signature that index.d.ts documents. The addon returns more fields, for
 * internal use.
 */
function publicSignature({ inputs, outputs, features, columns }) {
  return freeze({
    inputs: inputs.map(spec => pick(spec, ['name', 'dtype', 'dims', 'dimNames'])),
    outputs: outputs.map(spec => pick(spec, ['name', 'dtype', 'dims', 'dimNames'])),
    features: features.map(spec => pick(spec, FEATURE)),
    columns: columns.map(spec => pick(spec, ['name', 'output', 'dtype']))
  })
}

class Model {
  #native
  #runner
  #timeoutNs
  #described
  #signature
  #contract
  #id

  constructor(native, options) {
    if (!(native instanceof addon.Model)) throw new TypeError('models are opened by open()')
    this.#native = native
    this.#timeoutNs = options.timeoutNs
    const described = native.describe()
    this.#described = described
    this.#contract = described.contract === null ? null : JSON.parse(described.contract)
    const isClosed = described.features.map(
      (_, i) => this.#contract.features[i].allowed !== undefined
    )
    this.#runner = new Runner(native, freeze(described), isClosed, options.extra === 1)
  }

  get name() {
    return this.#described.name
  }

  get version() {
    return this.#described.version
  }

  get id() {
    if (this.#id === undefined) this.#runner.requireOpen()
    this.#id ??= this.#native.id()
    return this.#id
  }

  get engine() {
    return this.#described.engine
  }

  get engineReason() {
    return this.#described.engineReason
  }

  get warning() {
    return this.#described.warning
  }

  get signature() {
    this.#signature ??= publicSignature(this.#described)
    return this.#signature
  }

  get contract() {
    if (!Object.isFrozen(this.#contract)) freeze(this.#contract)
    return this.#contract
  }

  // Read the options first: one of them may be a getter that closes the model.
  runSync(inputs, options) {
    const timeoutNs = readTimeout(options, this.#timeoutNs)
    this.#runner.requireOpen()
    return this.#runner.runSync(inputs, timeoutNs)
  }

  run(inputs, options) {
    return this.#start(options, (timeoutNs, signal) => this.#runner.run(inputs, timeoutNs, signal))
  }

  predictSync(records, options) {
    const timeoutNs = readTimeout(options, this.#timeoutNs)
    this.#runner.requireOpen()
    return this.#runner.predictSync(records, timeoutNs)
  }

  predict(records, options) {
    return this.#start(options, (timeoutNs, signal) =>
      this.#runner.predict(records, timeoutNs, signal)
    )
  }

  /**
   * Starts an asynchronous run. All errors reject the promise. If the signal is already aborted,
   * the promise rejects before any input is read.
   */
  #start(options, run) {
    try {
      const { timeoutNs, signal } = readAsync(options, this.#timeoutNs)
      this.#runner.requireOpen()
      return signal?.aborted ? Promise.reject(signal.reason) : run(timeoutNs, signal)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  call(options = {}) {
    checkNames(options, CALL)
    const { rows = 1 } = options
    if (typeof rows !== 'number' || !Number.isSafeInteger(rows))
      throw notWhole('options.rows', 'a whole number', rows)
    this.#runner.requireOpen()
    return new Call(this.#native, this.#runner.signature, rows, this.#timeoutNs)
  }

  close() {
    this.#runner.close()
  }

  /** What console.log prints. Without a contract there are no features, so it prints the inputs. */
  [inspect.custom](depth, options, print) {
    // Print the prototype, and objects that inherit from a model, like any other object.
    if (!(#described in this)) return print(this, { ...options, customInspect: false })
    if (depth < 0) return options.stylize('[Model]', 'special')
    const { name, version, route, inputs, outputs, features } = this.#described
    const namesOf = list => list.map(entry => entry.name)
    const shown = { name, version, route: ROUTES[route - 1] }
    if (features.length > 0) shown.features = namesOf(features)
    else shown.inputs = namesOf(inputs)
    shown.outputs = namesOf(outputs)
    if (this.#runner.isClosed) shown.isClosed = true
    return `Model ${print(shown, options)}`
  }
}
Object.defineProperty(Model.prototype, dispose, {
  value: Model.prototype.close,
  configurable: true,
  writable: true
})

module.exports = { Model, dispose }
