// Loads the addon, and finds the ONNX Runtime that npm may have installed for it.
'use strict'

const fs = require('node:fs')
const path = require('node:path')
const { makeError } = require('./errors.js')
const { locate } = require('./platform.js')

// Official builds of ONNX Runtime send telemetry unless this is set before their first use. The addon sets the same in C.
process.env.ORT_DISABLE_TELEMETRY ??= '1'

const file = process.env.SIDECALL_NODE_ADDON || locate('sidecall.node')
// Not by require(), which would give a second copy of this package the addon of the first, and with it its class of errors.
const loaded = { exports: {} }
process.dlopen(loaded, path.resolve(file))
const addon = loaded.exports
// Electron refuses external ArrayBuffers; tests ask for what happens then.
addon.configure({ makeError, copies: process.env.SIDECALL_NODE_COPIES === '1' })
// Exit runs destructors of the engine: no run may be under way then.
process.on('exit', () => addon.drain())

function resolve(request, from) {
  try {
    return require.resolve(request, { paths: from })
  } catch {
    return undefined
  }
}

const OLDEST_MINOR = 22 // of ONNX Runtime 1.x, as core has it

/** The library of onnxruntime-node, which could not be loaded any more once another copy is: both have the same SONAME. */
function findInOnnxruntimeNode() {
  const program = process.argv[1] === undefined ? undefined : path.dirname(process.argv[1])
  const from = [require.main?.path, program, process.cwd(), __dirname].filter(
    folder => folder !== undefined
  )
  const entry = resolve('onnxruntime-node', from)
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
  const entry = resolve(`@sidecall/${process.platform}-${process.arch}/package.json`, [__dirname])
  const library = entry && path.join(path.dirname(entry), 'lib', 'libonnxruntime.so.1')
  return library && fs.existsSync(library) ? library : undefined
}

let found = null

/** What the library is told as its package's place; looked for once. */
function findOnnxruntime() {
  if (found === null) found = findInOnnxruntimeNode() ?? findInPlatformPackage()
  return found
}

module.exports = { addon, findOnnxruntime }
