// Runs JavaScript with the package in a process of its own. Used when a process must end, or might
// crash.
'use strict'

const { spawn } = require('node:child_process')
const path = require('node:path')

const { packageFolder, root } = require('./paths.js')

const PRELUDE = `
const sidecall = require(${JSON.stringify(packageFolder)})
const slow = require(${JSON.stringify(path.join(root, 'tests', 'node', 'support', 'slow.js'))})
const models = require(${JSON.stringify(path.join(root, 'tests', 'node', 'support', 'models.js'))})
const { modelPath } = require(${JSON.stringify(path.join(root, 'tests', 'node', 'support', 'paths.js'))})
`
const LIMIT_MS = 60_000

/** Resolves with `{ code, signal, out, err }`. `body` sees sidecall, slow, models and modelPath. */
function runScript(body, { env = {}, flags = ['--expose-gc'], args = [] } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...flags, '-e', PRELUDE + body, ...args], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe']
    })
    const text = { out: '', err: '' }
    child.stdout.setEncoding('utf8').on('data', part => (text.out += part))
    child.stderr.setEncoding('utf8').on('data', part => (text.err += part))
    const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS)
    child.on('error', reject)
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      resolve({ code, signal, ...text })
    })
  })
}

module.exports = { runScript }
