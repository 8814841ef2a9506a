// Starts `sidecall serve` processes for tests of the shm: route.
'use strict'

const { spawn } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const path = require('node:path')

const { command, temporaryFolder } = require('./paths.js')

const folder = temporaryFolder()
let started = 0

/**
 * Starts a server of the file. Pass its `address` to open() with waitMs, because it may still be
 * starting.
 */
function serve(file, ...options) {
  return serveAt(`shm:${path.join(folder, `${++started}.sock`)}`, file, ...options)
}

/** The same at a given address, for a server that replaces another one. */
function serveAt(address, file, ...options) {
  const child = spawn(
    command,
    ['serve', file, '--at', address, '--log-level', 'error', ...options],
    { stdio: 'ignore' }
  )
  const ended = once(child, 'exit')
  const end = async signal => {
    child.kill(signal)
    const [code] = await ended
    return code
  }
  return { address, child, stop: () => end('SIGTERM'), kill: () => end('SIGKILL') }
}

/**
 * Starts a server of the file for HTTP, gRPC and shared memory. `at` has the address of each
 * protocol.
 */
function serveNetwork(file) {
  const socket = path.join(folder, `${++started}.sock`)
  const server = serveAt(
    `shm:${socket}`,
    file,
    ...['--http', `${socket}.http`, '--grpc', `${socket}.grpc`, '--name', 'model']
  )
  const at = { http: `http+unix:${socket}.http/model`, grpc: `grpc+unix:${socket}.grpc/model` }
  return { ...server, at }
}

/**
 * Stops the process and returns when none of its threads runs any more. kill() alone returns before
 * that.
 */
function stop({ pid }) {
  process.kill(pid, 'SIGSTOP')
  const isStopped = thread =>
    /^State:\tT/m.test(fs.readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8'))
  while (!fs.readdirSync(`/proc/${pid}/task`).every(isStopped))
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
}

module.exports = { serve, serveAt, serveNetwork, stop }
