// The entry of the package `sidecall`: call machine-learning models that were trained in Python.
// index.d.ts is the manual.
'use strict'

try {
  require('node:module')
} catch (cause) {
  const text =
    "sidecall is part of an ES module bundle in which `require` does not work: leave 'sidecall' " +
    'out of the bundle (option `external` of esbuild), and install sidecall beside the bundle'
  throw new Error(text, { cause })
}

const { addon } = require('./lib/addon.js')
const { SidecallError } = require('./lib/errors.js')
const { engine, open, openSync } = require('./lib/open.js')

module.exports = { open, openSync, engine, SidecallError, version: addon.version }
