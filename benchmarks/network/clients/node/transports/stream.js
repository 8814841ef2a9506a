// One process that stays open: a line in, a line out, in the same order.
'use strict'

const { spawn } = require('node:child_process')
const readline = require('node:readline')
const { moveBytes } = require('../bodies.js')

module.exports = async (work, { command: [program, ...words] }, body) => {
  const child = spawn(program, words, { stdio: ['pipe', 'pipe', 'inherit'] })
  const waiting = []
  let ended
  const end = error => {
    ended ??= error
    for (const { reject } of waiting.splice(0)) reject(ended)
  }
  readline
    .createInterface({ input: child.stdout })
    .on('line', line => waiting.shift()?.resolve(line))
  child.on('error', end)
  child.stdin.on('error', end)
  const closed = new Promise(resolve => {
    child.on('close', code => {
      end(new Error(`${program} ended with ${code}`))
      resolve()
    })
  })
  const send = line =>
    new Promise((resolve, reject) => {
      if (ended) throw ended
      waiting.push({ resolve, reject })
      child.stdin.write(`${line}\n`)
    })
  const close = () => {
    child.stdin.end()
    return closed
  }
  return { ...moveBytes(work, body, send), close }
}
