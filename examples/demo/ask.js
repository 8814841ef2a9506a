// Asks an exported model about records, one JSON object a line; used by demo.py.   node ask.js MODEL RECORDS CALLS
//
// Prints an answer per record, and last the microseconds that a call takes.
const { readFileSync } = require('node:fs')
const { openSync } = require('../../bindings/node') // an application says require('sidecall')

const ROUNDS = 25 // the best one counts: short ones meet nobody else on the processor

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
