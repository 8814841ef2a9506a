// The queue of asynchronous runs; used by runner.js and call.js. It starts runs on the thread pool
// of the library, in order, a bounded number at a time; the event loop reports when they end. This
// file handles deadlines and AbortSignals of runs that wait in the queue; the engine handles those
// of runs that have started.
'use strict'

const { clearTimeout, setTimeout } = require('node:timers')
const { addon } = require('./addon.js')
const { fail } = require('./errors.js')
const { THREADS, now, turn } = require('./latency.js')
const { onAbort } = require('./signals.js')

// The limit of started runs for this JavaScript thread. More runs would only wait in the library or
// the server instead of here, and each would hold a thread's place or a connection.
const MAX_STARTED = Math.max(128, 2 * THREADS)
const MAX_WAITING = 16384
const RETRY_MS = 1
// The deadline that the library sets for a run in another process if the caller set none.
const CONNECT_MS = 30_000

let numStarted = 0
let numGated = 0
let isRetrying = false
const queue = { tasks: [], first: 0 }
// The tasks whose runs are starting or under way, by the number that the addon knows them by; that
// number is free if there is none. This reference also keeps the native call alive.
const slots = { tasks: [], free: [] }

/**
 * Each model in another process has one Gate. Before a run can start, its workspace may have to
 * connect, and connecting waits for the other process. A separate thread then connects and starts
 * the run. The gate lets only one run of the model use such a thread at a time; the other runs
 * wait.
 */
class Gate {
  constructor() {
    this.isTaken = false
    this.waiting = []
  }

  take() {
    this.isTaken = true
  }

  wait(task) {
    this.waiting.push(task)
    ++numGated
  }

  open() {
    this.isTaken = false
    this.offer()
  }

  /**
   * Called when an attempt to start a run found no server. `start` is the time when that attempt
   * began. Runs that were submitted at that time or earlier fail with the same error.
   */
  refuse(error, start) {
    while (this.waiting.length > 0 && this.waiting[0].begin <= start) {
      const task = this.waiting.shift()
      --numGated
      task.leaveGate()
      // A settled task was ended by an abort or a deadline, which also released its workspace.
      if (!task.isSettled) task.fail(error)
    }
  }

  /**
   * If no task holds the gate, moves the next waiting task to the head of the queue. The caller
   * must then start the tasks of the queue.
   */
  offer() {
    if (this.isTaken) return
    const task = this.waiting.shift()
    if (task === undefined) return
    --numGated
    task.leaveGate()
    putFirst(task)
  }
}

class Task {
  /**
   * The inputs of `workspace` must be set already. `read` makes the answer from the workspace after
   * the run. `release` is called when the engine no longer uses the memory; after an abort, that is
   * later than the rejection of the promise. `estimate` is null for a run that must not run on this
   * thread.
   */
  constructor({ workspace, timeoutNs, signal, estimate, read, release }) {
    this.workspace = workspace
    this.timeoutNs = timeoutNs
    this.signal = signal
    this.estimate = estimate
    this.read = read
    this.release = release
    this.isStarting = false // a thread starts the run, and uses the workspace until onStart()
    this.isStarted = false
    this.isSettled = false
    this.slot = -1
    this.begin = now()
    this.started = 0
    this.timer = null
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
    this.forget = onAbort(signal, () => this.abort())
    workspace.task = this
  }

  settle(settle, value) {
    if (this.isSettled) return
    this.isSettled = true
    this.forget()
    if (this.timer !== null) clearTimeout(this.timer)
    settle(value)
  }

  over() {
    this.workspace.task = null
    this.release(this.workspace)
  }

  fail(error) {
    this.settle(this.reject, error)
    this.over()
  }

  succeed() {
    if (!this.isSettled) {
      let answer
      try {
        answer = this.read(this.workspace)
      } catch (error) {
        return this.fail(error)
      }
      this.settle(this.resolve, answer)
    }
    this.over()
  }

  abort() {
    this.settle(this.reject, this.signal.reason)
    this.stop()
  }

  /** Ends a run whose promise is already settled. */
  stop() {
    if (this.isStarted || this.isStarting) this.workspace.native.cancel()
    else this.over() // the queue may still hold the task, and skips it because it is settled
  }

  expire() {
    if (this.isStarted) return
    this.settle(this.reject, fail('TIMEOUT', 'the deadline passed before the run was over'))
    this.stop()
  }

  /** Starts the timer of a task that waits. The deadline counts from the creation of the task. */
  watchDeadline() {
    if (this.timeoutNs === -1) return
    const ms = Math.min(this.timeoutNs / 1e6, 2 ** 31 - 1)
    this.timer = setTimeout(() => this.expire(), ms)
  }

  /** Returns the time until the deadline; -1 if there is no deadline. */
  remainingNs() {
    return this.timeoutNs === -1
      ? -1
      : Math.max(1, Math.round(this.timeoutNs - (now() - this.begin)))
  }

  isShort() {
    return this.estimate?.isShort === true
  }

  /**
   * Runs on this thread, in a turn that has time left. If the estimate has grown in the meantime,
   * the task goes to the queue again.
   */
  runHere() {
    if (this.isSettled) return
    if (!this.isShort()) return enqueue(this)
    try {
      turn.time(this.estimate, this.workspace, this.remainingNs())
    } catch (error) {
      return this.fail(error)
    }
    this.succeed()
  }

  takeSlot() {
    this.slot = slots.free.pop() ?? slots.tasks.length
    slots.tasks[this.slot] = this
    return this.slot
  }

  freeSlot() {
    slots.tasks[this.slot] = undefined
    slots.free.push(this.slot)
  }

  /**
   * Starts the run in the library: on one of its threads, or in another process. Returns false if
   * the queue of the library is full.
   */
  start() {
    const { workspace } = this
    let isStarted
    this.takeSlot()
    try {
      workspace.prepare()
      isStarted = workspace.native.start(this.remainingNs(), this.slot)
      if (isStarted === null) this.pass(workspace.gate)
    } catch (error) {
      this.freeSlot()
      this.fail(error)
      return true
    }
    if (isStarted) {
      ++numStarted
      this.noteStarted()
    } else if (!this.isStarting) {
      this.freeSlot()
    }
    return isStarted !== false
  }

  noteStarted() {
    this.isStarted = true
    if (this.estimate !== null) {
      this.started = now()
      this.estimate.noteStart()
    }
    if (this.timer !== null) clearTimeout(this.timer)
  }

  /**
   * Lets a separate thread start the run, because starting it may have to wait for another process.
   * If another task holds the gate, the task waits at the gate first.
   */
  pass(gate) {
    if (gate.isTaken) {
      gate.wait(this)
      if (this.timeoutNs === -1) this.timer = setTimeout(() => this.expire(), CONNECT_MS)
      return
    }
    this.workspace.native.startOnThread(this.remainingNs(), this.slot, error => this.onStart(error))
    gate.take()
    this.isStarting = true
    this.started = now()
    ++numStarted
  }

  leaveGate() {
    if (this.timeoutNs === -1) clearTimeout(this.timer)
  }

  /**
   * Called on the event loop when the thread has started the run, or has failed to start it, and no
   * longer uses the workspace.
   */
  onStart(error) {
    const { gate, native, isCancelled } = this.workspace
    this.isStarting = false
    if (error?.code === 'UNREACHABLE') gate.refuse(error, this.started)
    gate.open()
    if (error === undefined) {
      this.noteStarted()
      // The thread may have started the run after an earlier cancel(), which then had no effect.
      if (this.isSettled || isCancelled) native.cancel()
    } else {
      this.leave()
      this.fail(error)
    }
    pump()
  }

  leave() {
    --numStarted
    this.freeSlot()
  }

  /**
   * Called on the event loop if the run has failed. `isReleasedOnly`: the run was cancelled or its
   * deadline passed, but the engine still uses the memory. This function is called again when the
   * engine has released the memory.
   */
  onFail(error, isReleasedOnly) {
    if (isReleasedOnly) return this.settle(this.reject, error)
    this.leave()
    this.fail(error)
    pump()
  }

  onSuccess() {
    this.leave()
    if (this.estimate !== null) this.estimate.noteReturn(now() - this.started)
    this.succeed()
  }
}

const succeeded = new Int32Array(addon.maxFinished)
addon.onFinish(succeeded, count => {
  for (let i = 0; i < count; ++i) slots.tasks[succeeded[i]].onSuccess()
  pump()
})

function startAll() {
  while (queue.first < queue.tasks.length && numStarted < MAX_STARTED) {
    const task = queue.tasks[queue.first]
    if (task.isShort()) turn.defer(() => task.runHere())
    else if (!task.isSettled && !task.start()) return false
    ++queue.first
    task.workspace.gate?.offer()
  }
  return true
}

/** Starts waiting tasks while there is room. */
function pump() {
  const hasRoom = startAll()
  if (queue.first > 1024 || queue.first === queue.tasks.length) {
    queue.tasks = queue.tasks.slice(queue.first)
    queue.first = 0
  }
  // Runs of other threads fill the queue of the library, and no event reports when it has room, so
  // try again later.
  if (!hasRoom && numStarted === 0) retry()
}

function retry() {
  if (isRetrying) return
  isRetrying = true
  setTimeout(() => {
    isRetrying = false
    pump()
  }, RETRY_MS)
}

function putFirst(task) {
  if (queue.first > 0) queue.tasks[--queue.first] = task
  else queue.tasks.unshift(task)
}

function enqueue(task) {
  queue.tasks.push(task)
  pump()
}

/** Adds an asynchronous run to the queue. Returns its promise. */
function submit(request) {
  const task = new Task(request)
  if (queue.tasks.length - queue.first + numGated + turn.numWaiting >= MAX_WAITING) {
    task.fail(
      fail(
        'BUSY',
        `the queue of asynchronous runs is full: expected fewer than ${MAX_WAITING} waiting runs`
      )
    )
    return task.promise
  }
  enqueue(task)
  if (!task.isStarted && !task.isSettled) task.watchDeadline()
  return task.promise
}

/** Whether runs wait in the queue or at a gate. */
const hasWaiting = () => queue.tasks.length > queue.first || numGated > 0

module.exports = { Gate, hasWaiting, submit }
