// One process per call: a line of JSON on its stdin, the answer on its stdout.
'use strict'

const { spawn } = require('node:child_process')
const { moveBytes } = require('../bodies.js')

module.exports = async (work, { command: [program, ...words] }, body) =>
  moveBytes(
    work,
    body,
    line =>
      new Promise((resolve, reject) => {
        const child = spawn(program, words)
        const said = []
        const complaints = []
        child.stdout.on('data', chunk => said.push(chunk))
        child.stderr.on('data', chunk => complaints.push(chunk))
        child.stdin.on('error', reject)
        child.on('error', reject)
        child.on('close', code => {
          if (code === 0) resolve(Buffer.concat(said))
          else
            reject(
              new Error(
                `${program} ended with ${code}: ${Buffer.concat(complaints).toString().slice(-200)}`
              )
            )
        })
        child.stdin.end(`${line}\n`)
      })
  )
