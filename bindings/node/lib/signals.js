// Listens to AbortSignals; used by open.js and tasks.js. Each signal gets only one listener, even
// if many runs use the signal. The listener is removed after the last of these runs.
'use strict'

const watched = new WeakMap() // signal -> {waiting: a set of callbacks, listener}

function forget(signal, callback) {
  const entry = watched.get(signal)
  if (!entry?.waiting.delete(callback) || entry.waiting.size > 0) return
  signal.removeEventListener('abort', entry.listener)
  watched.delete(signal)
}

function watch(signal) {
  const waiting = new Set()
  const listener = () => {
    watched.delete(signal)
    for (const callback of waiting) callback()
  }
  signal.addEventListener('abort', listener, { once: true })
  const entry = { waiting, listener }
  watched.set(signal, entry)
  return entry
}

const noop = () => {}

/**
 * Calls `callback` when the signal aborts. Returns a function that removes the callback; the
 * caller must always call it when its run is over. An undefined signal never aborts.
 */
function onAbort(signal, callback) {
  if (signal === undefined) return noop
  const entry = watched.get(signal) ?? watch(signal)
  entry.waiting.add(callback)
  return () => forget(signal, callback)
}

module.exports = { onAbort }
