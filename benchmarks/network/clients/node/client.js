// The Node client of benchmarks/network: speaks the protocol of ../README.md on stdin and stdout.
// Started by run.py.
'use strict'

const fs = require('node:fs')
const path = require('node:path')
const { performance } = require('node:perf_hooks')
const readline = require('node:readline')
const { closedLoop, compile, openLoop } = require('./measure.js')
const { Work } = require('./work.js')

let work
let approach

async function close() {
  const opened = approach
  approach = undefined
  await opened?.close?.()
}

function transport(name) {
  const file = path.join(__dirname, 'transports', `${name}.js`)
  if (!/^\w+$/.test(name) || !fs.existsSync(file))
    throw new Error(`transport: expected a file of transports/, got ${name}`)
  return require(file)
}

const requests = {
  async open({ workload, rows, transport: name, body, at }) {
    await close()
    work = new Work(workload, rows)
    const make = transport(name)
    const begin = performance.now()
    approach = await make(work, at ?? {}, body ?? 'none')
    await approach.prepare?.(1)
    const given = approach.ask(0)
    const answer = await (approach.callSync ?? approach.call)(given, 0)
    const seconds = (performance.now() - begin) / 1000
    if (!work.isRight(0, approach.read(answer)))
      throw new Error(`${name}: the first answer is wrong`)
    await compile(work, approach)
    return { ok: true, first_answer_s: seconds }
  },

  closed: request => closedLoop(work, opened(), request),
  open_loop: request => openLoop(work, opened(), request),

  async close() {
    await close()
    return { ok: true }
  }
}

function opened() {
  if (approach === undefined) throw new Error('do: expected open before a measurement')
  return approach
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    let answer
    try {
      const request = JSON.parse(line)
      if (!Object.hasOwn(requests, request.do))
        throw new Error(`do: expected ${Object.keys(requests).join(', ')}, got ${request.do}`)
      answer = await requests[request.do](request)
    } catch (error) {
      answer = { error: error.message }
    }
    fs.writeSync(1, `${JSON.stringify(answer)}\n`)
  }
  await close()
  process.exit(0) // exit even if a library keeps the event loop alive
}

// If a connection breaks between two calls, the next call reports it, so only log it here.
process.on('unhandledRejection', error => fs.writeSync(2, `${error?.stack ?? error}\n`))

main()
