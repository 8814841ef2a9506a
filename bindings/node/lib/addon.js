// Loads the native addon, and finds an ONNX Runtime that npm has installed; used by the other files
// of lib.
'use strict'

const fs = require('node:fs')
const path = require('node:path')
const { makeError } = require('./errors.js')
const { findPlatformPackage, fromProgram, here, locate, resolve } = require('./platform.js')

// Official builds of ONNX Runtime send telemetry unless this variable is set before their first
// use. The addon also sets it, with setenv().
process.env.ORT_DISABLE_TELEMETRY ??= '1'

const file = process.env.SIDECALL_NODE_ADDON || locate('sidecall.node')
// Use dlopen, because require() caches addons by path: a second copy of this package would get the
// exports of the first copy, including the first copy's SidecallError class.
const loaded = { exports: {} }
process.dlopen(loaded, path.resolve(file))
const addon = loaded.exports
// Electron does not allow external ArrayBuffers. SIDECALL_NODE_COPIES=1 lets tests simulate that.
addon.configure({ makeError, copies: process.env.SIDECALL_NODE_COPIES === '1' })
// At exit, cancel the runs under way and wait at most 200 ms for them. A run may take longer and
// continue after the engine's static destructors have run; this does no harm
// (docs/decisions/023-ends-of-programs.md).
process.on('exit', () => addon.drain())

// The oldest supported minor version of ONNX Runtime 1.x, as in engines/onnxruntime/library.cpp.
const OLDEST_MINOR = 22

/**
 * Finds the library of the package onnxruntime-node. We prefer it to our own copy: both have the
 * same SONAME, so if our copy were loaded first, onnxruntime-node could not load its own any more.
 */
function findInOnnxruntimeNode() {
  const entry = resolve('onnxruntime-node', [...fromProgram, process.cwd(), here])
  if (entry === undefined) return undefined
  const folder = entry.slice(0, entry.lastIndexOf('onnxruntime-node') + 'onnxruntime-node'.length)
  const bin = path.join(folder, 'bin')
  const manifest = path.join(folder, 'package.json')
  if (!fs.existsSync(bin) || !fs.existsSync(manifest)) return undefined
  const [major, minor] = JSON.parse(fs.readFileSync(manifest, 'utf8'))
    .version.split('.')
    .map(Number)
  if (major === 1 && minor < OLDEST_MINOR) return undefined
  for (const version of fs.readdirSync(bin)) {
    const library = path.join(bin, version, process.platform, process.arch, 'libonnxruntime.so.1')
    if (fs.existsSync(library)) return library
  }
  return undefined
}

function findInPlatformPackage() {
  const folder = findPlatformPackage()
  const library = folder && path.join(folder, 'lib', 'libonnxruntime.so.1')
  return library && fs.existsSync(library) ? library : undefined
}

let found = null

/**
 * Returns the path of a library for the option `onnxruntime_package` of the C API; undefined if no
 * library is found. The search runs only once.
 */
function findOnnxruntime() {
  if (found === null) found = findInOnnxruntimeNode() ?? findInPlatformPackage()
  return found
}

module.exports = { addon, findOnnxruntime }
