// The entry of the package `sidecall`: call machine-learning models that were trained in Python.
// index.d.ts is the manual.
'use strict'

const { addon } = require('./lib/addon.js')
const { SidecallError } = require('./lib/errors.js')
const { engine, open, openSync } = require('./lib/open.js')

module.exports = { open, openSync, engine, SidecallError, version: addon.version }
