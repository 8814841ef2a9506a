// Checks and converts arguments; used by open.js, model.js and call.js. A value of a wrong type
// throws a TypeError. A time that is out of range throws a SidecallError. This file checks times
// itself, because the library would report nanoseconds where the user gave milliseconds.
'use strict'

const { fileURLToPath } = require('node:url')
const { types } = require('node:util')
const { findOnnxruntime } = require('./addon.js')
const { fail } = require('./errors.js')

const VERIFY = { error: 0, warn: 1, off: 2 }
const EXTRA = { error: 0, ignore: 1 }
const ENGINE = { auto: 0, native: 1, onnxruntime: 2 }
const LONGEST_NS = 9e18 // just below the largest int64; 285 years

const typeName = value => (value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value)

function wrongType(what, expected, value) {
  return new TypeError(`${what}: expected ${expected}, got ${typeName(value)}`)
}

/** The error for a value that is not the kind of whole number that `expected` describes. */
function notWhole(what, expected, value) {
  if (typeof value !== 'number') return wrongType(what, expected, value)
  const got = !Number.isInteger(value)
    ? 'a number that is not whole'
    : Number.isSafeInteger(value)
      ? 'a negative number'
      : 'a number beyond 2^53'
  return new TypeError(`${what}: expected ${expected}, got ${got}`)
}

function requireObject(value, what) {
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    throw wrongType(what, 'an object', value)
}

function checkNames(options, known) {
  requireObject(options, 'options')
  for (const name of Object.keys(options)) {
    if (!known.has(name))
      throw new TypeError(`options: expected one of ${[...known].join(', ')}, got '${name}'`)
  }
}

/** Converts a deadline to nanoseconds; -1 for no deadline. */
function toNanoseconds(ms, what) {
  if (ms === undefined || ms === Infinity) return -1
  if (typeof ms !== 'number') throw wrongType(what, 'a number of milliseconds', ms)
  if (!(ms > 0)) throw fail('INVALID_ARGUMENT', `${what}: expected more than 0, got ${ms}`)
  return Math.max(1, Math.round(Math.min(ms * 1e6, LONGEST_NS)))
}

function toWait(ms, what) {
  if (ms === undefined) return 0
  if (typeof ms !== 'number') throw wrongType(what, 'a number of milliseconds', ms)
  if (!(ms >= 0)) throw fail('INVALID_ARGUMENT', `${what}: expected 0 or more, got ${ms}`)
  return Math.round(Math.min(ms * 1e6, LONGEST_NS))
}

function choose(value, choices, what) {
  if (value === undefined) return 0
  if (typeof value === 'string' && Object.hasOwn(choices, value)) return choices[value]
  const got = typeof value === 'string' ? `'${value}'` : typeName(value)
  const names = Object.keys(choices).map(name => `'${name}'`)
  const last = names.pop()
  throw new TypeError(`${what}: expected ${names.join(', ')} or ${last}, got ${got}`)
}

function toPath(value, what) {
  if (value === undefined) return undefined
  if (typeof value !== 'string') throw wrongType(what, 'a path', value)
  if (value.includes('\0')) throw new TypeError(`${what}: expected a path, got a string with a NUL`)
  return value
}

const OPEN = new Set([
  'verify',
  'extra',
  'timeoutMs',
  'waitMs',
  'allowExec',
  'engine',
  'onnxruntime'
])
const OPEN_ASYNC = new Set([...OPEN, 'signal'])
const RUN = new Set(['timeoutMs'])
const RUN_ASYNC = new Set(['timeoutMs', 'signal'])

/** Returns the fields of sidecall_model_options, with the names that src/open.cpp reads. */
function readOpenOptions(options = {}, isAsync = false) {
  checkNames(options, isAsync ? OPEN_ASYNC : OPEN)
  const { verify, extra, timeoutMs, waitMs, allowExec, engine, onnxruntime } = options
  if (allowExec !== undefined && typeof allowExec !== 'boolean')
    throw wrongType('options.allowExec', 'a boolean', allowExec)
  return {
    verify: choose(verify, VERIFY, 'options.verify'),
    extra: choose(extra, EXTRA, 'options.extra'),
    engine: choose(engine, ENGINE, 'options.engine'),
    allowExec: allowExec ? 1 : 0,
    timeoutNs: toNanoseconds(timeoutMs, 'options.timeoutMs'),
    waitNs: toWait(waitMs, 'options.waitMs'),
    onnxruntime: toPath(onnxruntime, 'options.onnxruntime'),
    onnxruntimePackage: findOnnxruntime()
  }
}

function readSource(source) {
  if (typeof source === 'string') return toPath(source, 'source')
  // The library reads a query, and a "?" in the name of a file, from the URL itself.
  if (source instanceof URL)
    return source.protocol === 'file:' && !/\?|%3f/i.test(source.href)
      ? fileURLToPath(source)
      : source.href
  if (types.isUint8Array(source)) return source
  throw wrongType('source', 'a path, a URL or a Uint8Array', source)
}

/** Returns the deadline of one run in nanoseconds, -1 for no deadline. */
function readTimeout(options, fallbackNs) {
  if (options === undefined) return fallbackNs
  checkNames(options, RUN)
  return options.timeoutMs === undefined
    ? fallbackNs
    : toNanoseconds(options.timeoutMs, 'options.timeoutMs')
}

const NO_OPTIONS = Object.freeze({})

function readSignal(options) {
  const { signal } = options
  if (signal === undefined) return undefined
  if (
    signal === null ||
    typeof signal !== 'object' ||
    !('aborted' in signal) ||
    typeof signal.addEventListener !== 'function'
  ) {
    throw wrongType('options.signal', 'an AbortSignal', signal)
  }
  return signal
}

/** Reads the options of an asynchronous run. Returns {timeoutNs, signal}. */
function readAsync(options = NO_OPTIONS, fallbackNs = -1) {
  if (options === NO_OPTIONS) return { timeoutNs: fallbackNs, signal: undefined }
  checkNames(options, RUN_ASYNC)
  const timeoutNs =
    options.timeoutMs === undefined
      ? fallbackNs
      : toNanoseconds(options.timeoutMs, 'options.timeoutMs')
  return { timeoutNs, signal: readSignal(options) }
}

module.exports = {
  checkNames,
  notWhole,
  readAsync,
  readOpenOptions,
  readSignal,
  readSource,
  readTimeout,
  requireObject,
  typeName,
  wrongType
}
