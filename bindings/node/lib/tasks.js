// Runs that leave this thread: started on the pool of the library, in order, a bounded number at a time; their end comes back over
// the event loop. Deadlines and AbortSignals of those that wait are honoured here, of those that run by the engine.
'use strict'

const { clearTimeout, setTimeout } = require('node:timers')
const { fail } = require('./errors.js')
const { THREADS, now, turn } = require('./pace.js')
const { onAbort } = require('./signals.js')

// Of this JavaScript thread. More would only wait in the library instead of here, and hold a descriptor each.
const MAX_STARTED = Math.max(32, 2 * THREADS)
const MAX_WAITING = 16384
const RETRY_MS = 1
const CONNECT_MS = 30_000 // what the library gives a run in another process that has no deadline

let numStarted = 0
let numGated = 0
let isRetrying = false
const queue = { tasks: [], first: 0 }

/**
 * Of a model in another process. Starting a run may have to connect, and then waits for that process, on a thread of its own: one run of a
 * model at a time.
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

  /** A start that began at `start` found no server. Runs that have waited at least as long fail too. */
  refuse(error, start) {
    while (this.waiting.length > 0 && this.waiting[0].begin <= start) {
      const task = this.waiting.shift()
      --numGated
      task.leaveGate()
      task.fail(error)
    }
  }

  /** While no task has it: the next goes to the head of the queue, and comes back. */
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
   * `workspace` has its inputs. `read` makes the answer; `release` is called when the engine has let go of the memory, which after an
   * abort is later than the promise.
   */
  constructor({ workspace, timeoutNs, signal, estimate, read, release }) {
    this.workspace = workspace
    this.timeoutNs = timeoutNs
    this.signal = signal
    this.estimate = estimate // null for what is to run on a thread in any case
    this.read = read
    this.release = release
    this.isStarting = false // on a thread, which has the workspace
    this.isStarted = false
    this.isSettled = false
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
    clearTimeout(this.timer)
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

  /** Settled before its end. */
  stop() {
    if (this.isStarted || this.isStarting) this.workspace.native.cancel()
    else this.over() // a queue that still holds it sees that it is settled
  }

  expire() {
    if (this.isStarted) return
    this.settle(this.reject, fail('TIMEOUT', 'the deadline passed before the run was over'))
    this.stop()
  }

  /** For those that wait; a deadline counts from the call on. */
  watchDeadline() {
    if (this.timeoutNs === -1) return
    const ms = Math.min(this.timeoutNs / 1e6, 2 ** 31 - 1)
    this.timer = setTimeout(() => this.expire(), ms)
  }

  /** -1 for none. */
  remainingNs() {
    return this.timeoutNs === -1
      ? -1
      : Math.max(1, Math.round(this.timeoutNs - (now() - this.begin)))
  }

  isShort() {
    return this.estimate?.isShort === true
  }

  /** On this thread, in a turn that has time for it; unless such runs have turned out to be long since. */
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

  /** On a thread; false when the library's queue is full. */
  start() {
    const { workspace } = this
    try {
      workspace.prepare()
      const isStarted = workspace.native.start(this.remainingNs())
      if (isStarted === null) this.pass(workspace.gate)
      if (!isStarted) return isStarted === null
    } catch (error) {
      this.fail(error)
      return true
    }
    ++numStarted
    this.noteStarted()
    return true
  }

  noteStarted() {
    this.isStarted = true
    this.started = now()
    this.estimate?.noteStart()
    clearTimeout(this.timer)
  }

  /** Starts where that may take a while. */
  pass(gate) {
    if (gate.isTaken) {
      gate.wait(this)
      if (this.timeoutNs === -1) this.timer = setTimeout(() => this.expire(), CONNECT_MS)
      return
    }
    this.workspace.native.startOnThread(this.remainingNs(), error => this.onStart(error))
    gate.take()
    this.isStarting = true
    this.started = now()
    ++numStarted
  }

  leaveGate() {
    if (this.timeoutNs === -1) clearTimeout(this.timer)
  }

  /** From the event loop: the thread has given the workspace back. */
  onStart(error) {
    const { gate, native, isCancelled } = this.workspace
    this.isStarting = false
    if (error?.code === 'UNREACHABLE') gate.refuse(error, this.started)
    gate.open()
    if (error === undefined) {
      this.noteStarted()
      if (this.isSettled || isCancelled) native.cancel() // the thread may not have seen it
    } else {
      --numStarted
      this.fail(error)
    }
    pump()
  }

  /** From the event loop. `isReleasedOnly`: the run was told to end, and the engine has not let go yet. */
  onFinish(error, isReleasedOnly) {
    if (isReleasedOnly) return this.settle(this.reject, error)
    --numStarted
    if (error === undefined) {
      this.estimate?.noteBack(now() - this.started)
      this.succeed()
    } else {
      this.fail(error)
    }
    pump()
  }
}

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

/** Starts those that wait, while there is room. */
function pump() {
  const hasRoom = startAll()
  if (queue.first > 1024 || queue.first === queue.tasks.length) {
    queue.tasks = queue.tasks.slice(queue.first)
    queue.first = 0
  }
  // Runs of other threads fill the queue, and no event tells when there is room: ask again later.
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

/** The promise of a run off this turn of the event loop. */
function submit(request) {
  const task = new Task(request)
  if (queue.tasks.length - queue.first + numGated + turn.numWaiting >= MAX_WAITING) {
    task.fail(fail('BUSY', `the queue of asynchronous runs is full: ${MAX_WAITING} wait`))
    return task.promise
  }
  enqueue(task)
  if (!task.isStarted && !task.isSettled) task.watchDeadline()
  return task.promise
}

/** Whether runs wait for their turn. */
const isCrowded = () => queue.tasks.length > queue.first || numGated > 0

module.exports = { Gate, isCrowded, submit }
