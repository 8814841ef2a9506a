// What runs of a model share, and their steps: kept workspaces, estimates, tensors in and out, records in and out. model.js is the
// public side.
'use strict'

const { Answers } = require('./answers.js')
const { closed } = require('./errors.js')
const { requireObject } = require('./options.js')
const { Pace, now, turn } = require('./pace.js')
const { Layout, Staging } = require('./records.js')
const { submit } = require('./tasks.js')
const { Workspace } = require('./workspace.js')

const MAX_KEPT = 64
const MAX_KEPT_BYTES = 4 * 1024 * 1024
const KIND_INPUT = 0

class Runner {
  constructor(native, signature, isClosedFeature, ignoresExtra) {
    this.native = native
    this.signature = signature
    this.isClosed = false
    this.inputIndex = new Map(signature.inputs.map((spec, i) => [spec.name, i]))
    this.layout = new Layout(signature, isClosedFeature, ignoresExtra)
    this.answers = new Answers(signature)
    this.tensors = [] // idle workspaces whose inputs are memory that views write
    this.records = [] // and those whose inputs belong to core, written by its setters
    this.stagings = []
    this.tensorPace = new Pace()
    this.recordPace = new Pace()
    this.putTensors = workspace => this.put(this.tensors, workspace)
    this.putRecords = workspace => this.put(this.records, workspace)
  }

  requireOpen() {
    if (this.isClosed) throw closed('model')
  }

  take(kept) {
    return kept.pop() ?? new Workspace(this.native, this.signature, 1)
  }

  put(kept, workspace) {
    if (this.isClosed || kept.length >= MAX_KEPT || workspace.bytes > MAX_KEPT_BYTES) workspace.close()
    else kept.push(workspace)
  }

  close() {
    if (this.isClosed) return
    this.isClosed = true
    for (const workspace of this.tensors) workspace.close()
    for (const workspace of this.records) workspace.close()
    this.tensors = []
    this.records = []
    this.native.close()
  }

  // ---- Tensors -----------------------------------------------------------------------------------------------------

  /** Reads tensors by name; the engine gets them by giveInputs(). Runs code of the user, which may close the model. */
  readInputs(workspace, tensors) {
    requireObject(tensors, 'inputs')
    const { inputs } = workspace
    for (let i = 0; i < inputs.length; ++i) inputs[i].data = null
    let given = 0
    for (const name of Object.keys(tensors)) {
      const value = tensors[name]
      if (value === undefined) continue
      const index = this.inputIndex.get(name) ?? this.native.find(KIND_INPUT, name)
      workspace.read(inputs[index], value)
      ++given
    }
    this.requireOpen()
    if (given < inputs.length) workspace.forget()
  }

  giveInputs(workspace, mayBorrow) {
    const { inputs } = workspace
    for (let i = 0; i < inputs.length; ++i) {
      if (inputs[i].data !== null) workspace.give(inputs[i], mayBorrow)
    }
  }

  runSync(tensors, timeoutNs) {
    const workspace = this.take(this.tensors)
    try {
      this.readInputs(workspace, tensors)
      this.giveInputs(workspace, true)
      workspace.execute(timeoutNs)
      return workspace.takeAll()
    } finally {
      this.put(this.tensors, workspace)
    }
  }

  /** May throw instead of rejecting. */
  run(tensors, timeoutNs, signal) {
    const workspace = this.take(this.tensors)
    let size = 0
    try {
      this.readInputs(workspace, tensors)
      size = workspace.size
      const isHere = this.tensorPace.isShort(size) && !turn.isOver
      this.giveInputs(workspace, isHere)
      if (isHere) {
        turn.time(this.tensorPace, size, () => workspace.execute(timeoutNs))
        const answer = workspace.takeAll()
        this.put(this.tensors, workspace)
        return Promise.resolve(answer)
      }
    } catch (error) {
      this.put(this.tensors, workspace)
      throw error
    }
    const read = done => done.takeAll()
    return submit({ workspace, timeoutNs, signal, pace: this.tensorPace, size, read, release: this.putTensors })
  }

  // ---- Records -----------------------------------------------------------------------------------------------------

  /** A staging with all values of the records in it. */
  stage(records) {
    const staging = this.stagings.pop() ?? new Staging(this.layout)
    if (!Array.isArray(records)) {
      staging.reset(1)
      staging.read(records, 0)
    } else {
      const rows = records.length
      if (rows === 0) this.native.refuseEmpty()
      staging.reset(rows)
      for (let row = 0; row < rows; ++row) staging.read(records[row], row)
    }
    this.requireOpen()
    return staging
  }

  /** A workspace with the records in it. */
  fill(staging) {
    const kept = staging.isPlain ? this.tensors : this.records
    const workspace = this.take(kept)
    try {
      if (staging.isPlain) this.write(staging, workspace)
      else staging.set(workspace.native), (workspace.isShapeStale ||= workspace.rows !== staging.rows)
      workspace.rows = staging.rows
      return workspace
    } catch (error) {
      this.put(kept, workspace)
      throw error
    }
  }

  write(staging, workspace) {
    const { layout } = this
    const { inputs } = workspace
    for (let i = 0; i < inputs.length; ++i) {
      const input = inputs[i]
      if (input.view !== null && input.dims[0] === staging.rows) continue
      workspace.own(input, layout.dimsOf(input.spec, i, staging.rows))
    }
    staging.write(inputs)
  }

  predictSync(records, timeoutNs) {
    const isList = Array.isArray(records)
    const staging = this.stage(records)
    const kept = staging.isPlain ? this.tensors : this.records
    const workspace = this.fill(staging)
    try {
      workspace.execute(timeoutNs)
      return isList ? this.answers.many(workspace, staging.rows) : this.answers.one(workspace)
    } finally {
      this.put(kept, workspace)
      this.stagings.push(staging)
    }
  }

  predict(records, timeoutNs, signal) {
    const isList = Array.isArray(records)
    const staging = this.stage(records)
    const { rows, isPlain } = staging
    const size = rows * this.layout.names.length
    const workspace = this.fill(staging)
    this.stagings.push(staging)
    const read = isList ? done => this.answers.many(done, rows) : done => this.answers.one(done)
    const release = isPlain ? this.putTensors : this.putRecords
    if (this.recordPace.isShort(size) && !turn.isOver) {
      try {
        turn.time(this.recordPace, size, () => workspace.execute(timeoutNs))
        return Promise.resolve(read(workspace))
      } finally {
        release(workspace)
      }
    }
    return submit({ workspace, timeoutNs, signal, pace: this.recordPace, size, read, release })
  }
}

module.exports = { Runner, now }
