// Queries an exported model for records, one JSON object per line. Used by demo.py.
//   node ask.js MODEL RECORDS CALLS
//
// Prints one answer per record, and finally the time of a call in microseconds.
const { readFileSync } = require('node:fs')
// An application would write require('sidecall').
const { openSync } = require('../../bindings/node')

const ROUNDS = 25 // short rounds, some of which nothing interrupts; the fastest counts

const [file, recordsFile, calls] = process.argv.slice(2)
const model = openSync(file)
const lines = readFileSync(recordsFile, 'utf8').trim().split('\n')
const records = lines.map(line => JSON.parse(line))
for (const record of records) console.log(JSON.stringify(model.predictSync(record)))

let best = Infinity
for (let round = 0; round < ROUNDS; ++round) {
  const start = performance.now()
  for (let i = 0; i < Number(calls); ++i) model.predictSync(records[i % records.length])
  best = Math.min(best, performance.now() - start)
}
console.log(((best / Number(calls)) * 1000).toFixed(2))
