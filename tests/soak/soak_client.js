// soak_client.js URI FIRST SEED WAIT: the client of the soak in Node.js; soak_call.py describes
// what a client writes.
const { open } = require('../../bindings/node')

const DEADLINE = 5
const SHORT_DEADLINE = 0.02
const PAUSE = 30 // milliseconds
const LONG_RUN = 5000
const ENDLESS = 1e9
const LARGE_ROWS = 3000
const MANY_PIECES = 50000
const RARELY = 100
const USUAL = ['runSync', 'run', 'call', 'callSync', 'several', 'predict', 'predictSync']
const RARE = ['large', 'one-shot', 'late', 'wrong', 'open']
// If the model has no contract, calls of these kinds become 'run'.
const WITH_RECORDS = ['predict', 'predictSync', 'wrong']

const [uri, first, seed, wait] = [process.argv[2], ...process.argv.slice(3).map(Number)]
let number = first
let model = null
let kept = null
let width = 0
let names = []
let hasMore = false
let isOutdated = false
let hasEnded = false

let state = (seed * 0.7548776662466927) % 1
/** The next of a sequence of numbers from 0 to 1 that the seed determines (a Weyl sequence). */
function random() {
  state = (state + 0.6180339887498949) % 1
  return (state * 7919) % 1
}

const choose = list => list[Math.floor(random() * list.length)]
const seconds = () => Number(process.hrtime.bigint()) / 1e9
const pause = () => new Promise(resolve => setTimeout(resolve, PAUSE))

/**
 * Makes one call and writes its line. `call` returns the model that answered, 0 for a wrong answer,
 * or nothing if the call only opens a model.
 */
async function outcome(id, kind, deadline, call) {
  const head = [id, kind]
  const columns = width
  const begin = seconds()
  let [found, answerer, message] = ['OK', 0, '']
  try {
    answerer = await call()
    if (answerer === 0) found = 'WRONG'
  } catch (error) {
    if (!error.code) throw error
    found = error.code
    message = error.message
    if (found === 'CONTRACT_CHANGED') isOutdated = true
  }
  const line = [...head, found, answerer ?? 0, columns, begin, seconds(), deadline, message]
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

function makeRequest(kind) {
  const rows = kind === 'large' ? LARGE_ROWS : 1
  const pieces = kind === 'one-shot' ? MANY_PIECES : 1 + Math.floor(random() * 3)
  const isLong = random() < 0.2
  const rounds = kind === 'late' ? ENDLESS : isLong ? LONG_RUN : 0
  number++
  const x = new Float64Array(rows * width)
  for (let i = 0; i < x.length; i++) x[i] = number * 10000 + i
  return { id: number, rows, pieces, rounds, x }
}

function inputsOf({ rows, pieces, rounds, x }) {
  const counts = new BigInt64Array(rows)
  counts[0] = BigInt(pieces)
  return { x, pieces: counts, rounds: new BigInt64Array(rows).fill(BigInt(rounds)) }
}

function recordOf({ pieces, rounds, x }) {
  return Object.fromEntries([
    ...names.map((name, i) => [name, x[i]]),
    ['pieces', pieces],
    ['rounds', rounds]
  ])
}

/** The number of the model that gave this answer; 0 if the answer is wrong. */
function answererOf({ pieces, x }, y, more) {
  const offset = y.length === x.length ? y[0] - x[0] : 0
  const found = Math.round(offset * 16)
  if (offset <= 0 || offset >= 1 || offset !== found / 16) return 0
  for (let i = 0; i < x.length; i++) if (y[i] !== x[i] + offset) return 0
  if (more && (more.length !== pieces || more.some(each => each !== offset))) return 0
  return found
}

/** Runs the workspace that is kept. Its inputs can be written only while no run uses them. */
async function callKept(request, isSync) {
  kept ??= model.call()
  const inputs = inputsOf(request)
  for (const name of Object.keys(inputs)) kept.inputs[name].set(inputs[name])
  if (isSync) kept.runSync()
  else await kept.run()
  return kept.outputs
}

async function answerTo(kind, request) {
  if (WITH_RECORDS.includes(kind)) {
    const record = recordOf(request)
    if (kind === 'wrong') delete record.a
    const answer = kind === 'predict' ? await model.predict(record) : model.predictSync(record)
    return answererOf(request, answer.y)
  }
  let outputs
  if (kind === 'call' || kind === 'callSync') {
    outputs = await callKept(request, kind === 'callSync')
  } else if (kind === 'runSync') {
    outputs = model.runSync(inputsOf(request))
  } else {
    const timeoutMs = 1000 * (kind === 'late' ? SHORT_DEADLINE : DEADLINE)
    outputs = await model.run(inputsOf(request), { timeoutMs })
  }
  return answererOf(request, outputs.y, hasMore ? outputs.more : undefined)
}

function close() {
  kept?.close()
  model?.close()
  kept = null
  model = null
}

/** Opens the model, or returns null. This counts as a call, too. */
async function tryToOpen() {
  let opened = null
  await outcome(++number, 'open', 30 + wait, async () => {
    opened = await open(uri, { timeoutMs: DEADLINE * 1000, waitMs: wait * 1000, allowExec: true })
  })
  return opened
}

async function reopen() {
  close()
  model = await tryToOpen()
  if (model === null) return
  isOutdated = false
  width = model.signature.inputs[0].dims[1]
  names = model.signature.features.slice(0, width).map(feature => feature.name)
  hasMore = model.signature.outputs.length > 1
}

async function call(wanted) {
  if (model === null || isOutdated) return reopen()
  if (wanted === 'open') {
    const other = await tryToOpen()
    other?.close()
    return
  }
  const kind = names.length === 0 && WITH_RECORDS.includes(wanted) ? 'run' : wanted
  const deadline = kind === 'late' ? SHORT_DEADLINE : DEADLINE
  const requests = Array.from({ length: kind === 'several' ? 4 : 1 }, () => makeRequest(kind))
  await Promise.all(
    requests.map(each => outcome(each.id, kind, deadline, () => answerTo(kind, each)))
  )
}

async function main() {
  process.stdin.resume()
  process.stdin.on('end', () => {
    hasEnded = true
  })
  while (!hasEnded) {
    const isRare = random() * RARELY < RARE.length
    await call(choose(isRare ? RARE : USUAL))
    await pause()
  }
  close()
  process.stdout.write(`${JSON.stringify(['end', number - first])}\n`)
}

main()
