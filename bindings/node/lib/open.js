// Opens models: the functions that the package exports; used by index.js.
'use strict'

const { addon } = require('./addon.js')
const { Model } = require('./model.js')
const { checkNames, readOpenOptions, readSignal, readSource } = require('./options.js')
const { onAbort } = require('./signals.js')

const ENGINE = new Set(['onnxruntime'])

function openSync(source, options) {
  const fields = readOpenOptions(options)
  return new Model(addon.openSync(readSource(source), fields), fields)
}

function open(source, options) {
  return new Promise((resolve, reject) => {
    const fields = readOpenOptions(options, true)
    const signal = options === undefined ? undefined : readSignal(options)
    const from = readSource(source)
    if (signal?.aborted) return reject(signal.reason)
    let abandon
    const forget = onAbort(signal, () => {
      reject(signal.reason)
      abandon?.()
    })
    const done = (error, native) => {
      forget()
      if (error !== null) reject(error)
      else if (signal?.aborted) native.close()
      else resolve(new Model(native, fields))
    }
    try {
      abandon = addon.open(from, fields, done)
    } catch (error) {
      done(error, null)
    }
  })
}

function engine(options = {}) {
  checkNames(options, ENGINE)
  return JSON.parse(addon.describeEngine(readOpenOptions(options)))
}

module.exports = { open, openSync, engine }
