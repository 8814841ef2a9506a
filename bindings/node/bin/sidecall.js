#!/usr/bin/env node
// The `sidecall` command of the npm package. It replaces its own process with the native command
// (process.execve). Versions of Node without execve run the native command as a child process.
'use strict'

const { spawn } = require('node:child_process')
const { constants } = require('node:os')
const { locate } = require('../lib/platform.js')

const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2', 'SIGWINCH']

function fail(error) {
  process.stderr.write(`sidecall: ${error.message}\n`)
  process.exit(1)
}

/**
 * For versions of Node without process.execve: runs a child process that shares the terminal,
 * forwards signals to the child, and ends with the exit code or the signal of the child.
 */
function run(command, words) {
  const child = spawn(command, words, { stdio: 'inherit' })
  for (const signal of FORWARDED) process.on(signal, () => child.kill(signal))
  child.on('error', fail)
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code)
    for (const name of FORWARDED) process.removeAllListeners(name)
    process.kill(process.pid, signal)
    process.exitCode = 128 + constants.signals[signal]
  })
}

function main() {
  let command
  try {
    command = locate('bin/sidecall')
  } catch (error) {
    fail(error)
  }
  const words = process.argv.slice(2)
  if (process.execve) process.execve(command, [command, ...words], process.env)
  run(command, words)
}

main()
