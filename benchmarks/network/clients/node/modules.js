// Finds the packages that the clients and the service need. They are installed outside of the
// source tree, in build/peers/node.
'use strict'

const path = require('node:path')
const { createRequire } = require('node:module')

const build = path.join(__dirname, '..', '..', '..', '..', 'build')
const folder = process.env.BENCH_NODE_MODULES ?? path.join(build, 'peers', 'node', 'node_modules')

module.exports = {
  /** Loads a package of package.json, or a file of one. */
  peer: createRequire(path.join(folder, 'any.js')),

  sidecall() {
    return require(
      process.env.BENCH_SIDECALL ?? path.join(__dirname, '..', '..', '..', '..', 'bindings', 'node')
    )
  },

  onnxruntime() {
    return require(
      process.env.BENCH_ONNXRUNTIME_NODE ??
        path.join(build, 'node-peers', 'node_modules', 'onnxruntime-node')
    )
  }
}
