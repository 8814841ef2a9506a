// Asynchronous runs that are under way; used by runner.js and call.js. The completion queue of the
// library starts them, watches their deadlines, and reports their ends to this thread. Short runs
// may execute on this thread instead, in a later turn of the event loop.
'use strict'

const { addon } = require('./addon.js')
const { fail } = require('./errors.js')
const { onAbort } = require('./signals.js')
const { now, turn } = require('./turn.js')

// At most so many short runs wait for a later turn, as many as the queue of the library holds.
const MAX_DEFERRED = 16384

// The tasks whose runs are under way, by the number that the addon knows them by; that number is
// free if there is none. This reference also keeps the native call alive.
const slots = { tasks: [], free: [] }

class Task {
  /**
   * The inputs of `workspace` must be set already. `read` makes the answer from the workspace after
   * the run. `release` is called when the engine no longer uses the memory; after an abort, that is
   * later than the rejection of the promise.
   */
  constructor({ workspace, timeoutNs, signal, read, release }) {
    this.workspace = workspace
    this.timeoutNs = timeoutNs
    this.signal = signal
    this.read = read
    this.release = release
    this.isSettled = false
    this.slot = -1 // not under way in the library
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
    if (this.slot >= 0) this.workspace.native.cancel()
    else this.over() // turn.js still holds the task, which then does nothing
  }

  /** Gives the run to the library. */
  submit() {
    this.slot = slots.free.pop() ?? slots.tasks.length
    slots.tasks[this.slot] = this
    try {
      this.workspace.prepare()
      this.workspace.native.submit(this.timeoutNs, this.slot)
    } catch (error) {
      this.leave()
      this.fail(error)
    }
  }

  leave() {
    slots.tasks[this.slot] = undefined
    slots.free.push(this.slot)
    this.slot = -1
  }

  /**
   * Runs on this thread in a later turn; in the library if a run of the model has taken long by
   * then.
   */
  defer() {
    const begin = now()
    turn.defer(() => {
      if (this.isSettled) return
      const left = this.timeoutNs === -1 ? -1 : Math.round(this.timeoutNs - (now() - begin))
      try {
        if (left !== -1 && left <= 0)
          throw fail('TIMEOUT', 'the deadline passed before the run was over')
        if (this.workspace.activity.numOffLoop > 0) {
          this.timeoutNs = left
          return this.submit()
        }
        turn.run(this.workspace, left)
      } catch (error) {
        return this.fail(error)
      }
      this.succeed()
    })
  }

  /**
   * Called if the run has failed. With `isHeld`, the run was cancelled or its deadline passed, but
   * the engine still uses the memory. This function is called again when it no longer does.
   */
  onFail(error, isHeld) {
    if (isHeld) return this.settle(this.reject, error)
    this.leave()
    this.fail(error)
  }

  onSuccess() {
    this.leave()
    this.succeed()
  }
}

const succeeded = new Int32Array(addon.maxFinished)
addon.onFinish(succeeded, count => {
  for (let i = 0; i < count; ++i) slots.tasks[succeeded[i]].onSuccess()
})

/**
 * Begins an asynchronous run, and returns its promise. With `isShort`, it executes on this thread,
 * in the next turn that has time for it.
 */
function submit(request) {
  const task = new Task(request)
  if (!request.isShort) task.submit()
  else if (turn.numWaiting < MAX_DEFERRED) task.defer()
  else task.fail(fail('BUSY', `${MAX_DEFERRED} runs wait for their turn, which is the limit`))
  return task.promise
}

module.exports = { submit }
