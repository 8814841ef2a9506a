// The client in Node.js of the benchmark of languages; client.c describes the requests.
//   node client.js MODEL ROWS
'use strict'

const fs = require('node:fs')
const path = require('node:path')
const readline = require('node:readline')
const { hrtime } = require('node:process')

const sidecall = require(path.join(__dirname, '../../bindings/node'))

const FEATURES = 30
const ROWS = 1024
const BLOCK = 64
const WARM_UP = 20_000 // calls, until they are compiled

const bytes = fs.readFileSync(process.argv[3])
const numbers = new Float64Array(bytes.buffer, bytes.byteOffset, ROWS * FEATURES)
const rows = Array.from({ length: ROWS }, (_, i) =>
  numbers.subarray(i * FEATURES, (i + 1) * FEATURES)
)
// As a server gets them.
const records = rows.map(row =>
  JSON.parse(JSON.stringify(Object.fromEntries(Array.from(row, (value, k) => [`x${k}`, value]))))
)
const model = sidecall.openSync(process.argv[2])

function answer(times, answers) {
  const head = Buffer.from(`ok ${times.length} ${answers.length}\n`)
  const parts = [head, Buffer.from(times.buffer), Buffer.from(answers.buffer)]
  for (let left = Buffer.concat(parts); left.length > 0; )
    left = left.subarray(fs.writeSync(1, left))
}

function measure(first, blocks, one) {
  const times = new BigInt64Array(blocks)
  const answers = new Float64Array(blocks * BLOCK)
  for (let block = 0; block < blocks; ++block) {
    const begin = hrtime.bigint()
    for (let i = block * BLOCK; i < (block + 1) * BLOCK; ++i) answers[i] = one((first + i) % ROWS)
    times[block] = hrtime.bigint() - begin
  }
  return [times, answers]
}

const call = model.call({ rows: 1 })
const input = call.inputs.X
input.fill(0)
call.runSync()
const { probabilities } = call.outputs

const kinds = {
  call: i => {
    input.set(rows[i])
    call.runSync()
    return probabilities[1]
  },
  record: i => model.predictSync(records[i]).probabilities[1]
}
for (const one of Object.values(kinds)) measure(0, WARM_UP / BLOCK, one)

const remotes = new Map()

async function served(uri, runs, flight) {
  if (!remotes.has(uri)) remotes.set(uri, await sidecall.open(uri))
  const remote = remotes.get(uri)
  const answers = new Float64Array(runs)
  let next = 0
  const work = async () => {
    while (next < runs) {
      const i = next++
      answers[i] = (await remote.predict(records[i % ROWS])).probabilities[1]
    }
  }
  const begin = hrtime.bigint()
  await Promise.all(Array.from({ length: flight }, work))
  const time = hrtime.bigint() - begin
  return [BigInt64Array.of(time), answers]
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [request, ...words] = line.split(' ')
    if (request === 'served')
      answer(...(await served(words[0], Number(words[1]), Number(words[2]))))
    else answer(...measure(Number(words[0]), Number(words[1]), kinds[request]))
  }
}

main().catch(error => {
  fs.writeSync(1, `error ${error.message.replaceAll('\n', ' ')}\n`)
  process.exit(1)
})
