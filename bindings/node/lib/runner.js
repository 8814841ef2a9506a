// Runs a model on tensors or records; used by model.js, which is the public class. Holds what all
// runs of a model share: idle workspaces that are kept for reuse.
'use strict'

const { Answers } = require('./answers.js')
const { closed } = require('./errors.js')
const { Layout, Staging, isRecord, nameOf } = require('./records.js')
const { submit } = require('./tasks.js')
const { turn } = require('./turn.js')
const { ModelActivity, Workspace } = require('./workspace.js')

const MAX_KEPT = 128
// The maximum bytes in bulky workspaces that are kept. Keeping them pays, because fresh memory for
// each run would cost a page fault every 4 KiB.
const MAX_BULK = 32 * 1024 * 1024
const KIND_INPUT = 0

class Runner {
  constructor(native, signature, isClosedFeature, ignoresExtra) {
    this.native = native
    this.signature = signature
    this.isClosed = false
    this.inputIndex = new Map(signature.inputs.map((spec, i) => [spec.name, i]))
    this.layout = new Layout(signature, isClosedFeature, ignoresExtra)
    this.answers = new Answers(signature)
    this.tensors = [] // idle workspaces whose inputs are written through views
    this.records = [] // idle workspaces whose inputs are written by the setters of core
    this.stagings = []
    this.activity = new ModelActivity()
    this.bulk = 0 // total bytes of the bulky workspaces in both lists
    this.putTensors = workspace => this.put(this.tensors, workspace)
    this.putRecords = workspace => this.put(this.records, workspace)
  }

  requireOpen() {
    if (this.isClosed) throw closed('model')
  }

  take(kept) {
    const workspace = kept.pop()
    if (workspace === undefined) return new Workspace(this.native, this.signature, 1, this.activity)
    if (workspace.isBulky) this.bulk -= workspace.weigh()
    return workspace
  }

  put(kept, workspace) {
    const bytes = workspace.isBulky ? workspace.weigh() : 0
    if (this.isClosed || kept.length >= MAX_KEPT || this.bulk + bytes > MAX_BULK)
      return workspace.close()
    this.bulk += workspace.isBulky ? bytes : 0
    kept.push(workspace)
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

  // ---- Tensors ----

  /**
   * Reads tensors by name; giveInputs() passes them to the engine later. Runs code of the user,
   * which may close the model.
   */
  readInputs(workspace, tensors) {
    if (!isRecord(tensors))
      throw new TypeError(`inputs: expected an object with tensors by name, got ${nameOf(tensors)}`)
    const { inputs } = workspace
    for (let i = 0; i < inputs.length; ++i) inputs[i].data = null
    let given = 0
    for (const name of Object.keys(tensors)) {
      const value = tensors[name]
      if (value === undefined) continue
      const index = this.inputIndex.get(name) ?? this.refuseName(name)
      workspace.read(inputs[index], value)
      ++given
    }
    this.requireOpen()
    if (given < inputs.length) workspace.forget()
  }

  refuseName(name) {
    this.requireOpen()
    return this.native.find(KIND_INPUT, name)
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

  /** Returns a promise. Errors that occur before the run is started may be thrown instead. */
  run(tensors, timeoutNs, signal) {
    const workspace = this.take(this.tensors)
    let isShort = false
    try {
      this.readInputs(workspace, tensors)
      // The library knows the size of the run once it has the inputs. Those of a run that executes
      // now need not be copied, so for the size of the last run the answer is taken before.
      const { size } = workspace
      const isKnown = size === workspace.lastSize
      workspace.lastSize = size
      if (isKnown) isShort = workspace.isShort
      this.giveInputs(workspace, isShort && !turn.isOver)
      if (!isKnown) isShort = workspace.isShort
      if (isShort && !turn.isOver) {
        turn.run(workspace, timeoutNs)
        const answer = workspace.takeAll()
        this.put(this.tensors, workspace)
        return Promise.resolve(answer)
      }
    } catch (error) {
      this.put(this.tensors, workspace)
      throw error
    }
    const read = done => done.takeAll()
    return submit({ workspace, timeoutNs, signal, isShort, read, release: this.putTensors })
  }

  // ---- Records ----

  /** Returns a staging area with all values of the records. */
  stage(records, isList) {
    const staging = this.stagings.pop() ?? new Staging(this.layout)
    const rows = isList ? records.length : 1
    this.requireOpen()
    if (rows === 0) this.native.refuseEmpty()
    staging.reset(rows)
    for (let row = 0; row < rows; ++row) staging.read(isList ? records[row] : records, row)
    this.requireOpen()
    return staging
  }

  /** Returns a workspace whose inputs hold the staged records. */
  fill(staging) {
    const workspace = this.take(staging.isPlain ? this.tensors : this.records)
    const { rows } = staging
    try {
      if (staging.isPlain) {
        for (let i = 0; i < workspace.inputs.length; ++i) this.ownRows(workspace, i, rows)
        staging.write(workspace.inputs)
      } else {
        staging.set(workspace)
        if (workspace.rows !== rows) workspace.isShapeStale = true
        workspace.rows = rows
      }
      return workspace
    } catch (error) {
      this.put(staging.isPlain ? this.tensors : this.records, workspace)
      throw error
    }
  }

  ownRows(workspace, i, rows) {
    const input = workspace.inputs[i]
    if (input.view === null || input.dims[0] !== rows)
      workspace.own(input, this.layout.dimsOf(input.spec, i, rows))
    return input.view
  }

  /**
   * Returns a workspace whose inputs hold the records, filled by the compiled reader; null if there
   * is no compiled reader or a value is not plain. Runs code of the user.
   */
  fillQuickly(records, isList) {
    const { quick, order, names } = this.layout
    if (quick === null) return null
    const workspace = this.take(this.tensors)
    let isDone = false
    try {
      const rows = isList ? records.length : 1
      const view = rows > 0 ? this.ownRows(workspace, 0, rows) : null
      isDone = rows > 0
      for (let row = 0; row < rows && isDone; ++row) {
        const record = isList ? records[row] : records
        isDone =
          typeof record === 'object' &&
          record !== null &&
          quick(record, order, view, row * names.length)
      }
    } finally {
      if (!isDone) this.put(this.tensors, workspace)
    }
    return isDone ? workspace : null
  }

  /**
   * Reads all records into a workspace. Returns {workspace, rows, isPlain}; `isPlain` says which
   * list the workspace belongs to.
   */
  load(records) {
    const isList = Array.isArray(records)
    const workspace = this.fillQuickly(records, isList)
    if (workspace !== null) {
      if (this.isClosed) this.put(this.tensors, workspace)
      this.requireOpen()
      return { workspace, rows: workspace.inputs[0].dims[0], isPlain: true }
    }
    const staging = this.stage(records, isList)
    try {
      return { workspace: this.fill(staging), rows: staging.rows, isPlain: staging.isPlain }
    } finally {
      if (!staging.isBulky) this.stagings.push(staging)
    }
  }

  predictSync(records, timeoutNs) {
    const { workspace, rows, isPlain } = this.load(records)
    try {
      workspace.execute(timeoutNs)
      return Array.isArray(records)
        ? this.answers.many(workspace, rows)
        : this.answers.one(workspace)
    } finally {
      this.put(isPlain ? this.tensors : this.records, workspace)
    }
  }

  predict(records, timeoutNs, signal) {
    const { workspace, rows, isPlain } = this.load(records)
    const read = Array.isArray(records)
      ? done => this.answers.many(done, rows)
      : done => this.answers.one(done)
    const release = isPlain ? this.putTensors : this.putRecords
    const { isShort } = workspace
    if (isShort && !turn.isOver) {
      try {
        turn.run(workspace, timeoutNs)
        return Promise.resolve(read(workspace))
      } finally {
        release(workspace)
      }
    }
    return submit({ workspace, timeoutNs, signal, isShort, read, release })
  }
}

module.exports = { Runner }
