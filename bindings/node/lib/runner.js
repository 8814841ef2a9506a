// Runs a model on tensors or records; used by model.js, which is the public class. Holds what all
// runs of a model share: idle workspaces that are kept for reuse, and latency estimates.
'use strict'

const { Answers } = require('./answers.js')
const { closed } = require('./errors.js')
const { LatencyEstimates, turn } = require('./latency.js')
const { Layout, Staging, isRecord, nameOf } = require('./records.js')
const { Gate, hasWaiting, submit } = require('./tasks.js')
const { Workspace } = require('./workspace.js')

const MAX_KEPT = 128
// The maximum bytes in bulky workspaces that are kept. Keeping them pays, because fresh memory for
// each run would cost a page fault every 4 KiB.
const MAX_BULK = 32 * 1024 * 1024
const KIND_INPUT = 0

class Runner {
  constructor(native, signature, isClosedFeature, ignoresExtra, isRemote) {
    this.native = native
    this.signature = signature
    this.isClosed = false
    this.gate = isRemote ? new Gate() : null
    this.inputIndex = new Map(signature.inputs.map((spec, i) => [spec.name, i]))
    this.layout = new Layout(signature, isClosedFeature, ignoresExtra)
    this.answers = new Answers(signature)
    this.tensors = [] // idle workspaces whose inputs are written through views
    this.records = [] // idle workspaces whose inputs are written by the setters of core
    this.stagings = []
    this.bulk = 0 // total bytes of the bulky workspaces in both lists
    // Another process can delay even a short run without limit, so its runs never run on this
    // thread.
    this.tensorLatency = isRemote ? null : new LatencyEstimates()
    this.recordLatency = isRemote ? null : new LatencyEstimates()
    this.putTensors = workspace => this.put(this.tensors, workspace)
    this.putRecords = workspace => this.put(this.records, workspace)
  }

  requireOpen() {
    if (this.isClosed) throw closed('model')
  }

  take(kept) {
    const workspace = kept.pop()
    if (workspace === undefined) return new Workspace(this.native, this.signature, 1, this.gate)
    if (workspace.isBulky) this.bulk -= workspace.weigh()
    return workspace
  }

  put(kept, workspace) {
    const bytes = workspace.isBulky ? workspace.weigh() : 0
    // Runs that wait in the queue have workspaces already, and need the connection of this one.
    if (this.gate !== null && hasWaiting()) workspace.native.disconnect()
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
    let estimate
    try {
      this.readInputs(workspace, tensors)
      estimate = this.tensorLatency?.of(workspace.size) ?? null
      const isHere = estimate?.isShort === true && !turn.isOver
      this.giveInputs(workspace, isHere)
      if (isHere) {
        turn.time(estimate, workspace, timeoutNs)
        const answer = workspace.takeAll()
        this.put(this.tensors, workspace)
        return Promise.resolve(answer)
      }
    } catch (error) {
      this.put(this.tensors, workspace)
      throw error
    }
    const read = done => done.takeAll()
    return submit({ workspace, timeoutNs, signal, estimate, read, release: this.putTensors })
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
    const estimate = this.recordLatency?.of(rows * this.layout.names.length) ?? null
    if (estimate?.isShort === true && !turn.isOver) {
      try {
        turn.time(estimate, workspace, timeoutNs)
        return Promise.resolve(read(workspace))
      } finally {
        release(workspace)
      }
    }
    return submit({ workspace, timeoutNs, signal, estimate, read, release })
  }
}

module.exports = { Runner }
