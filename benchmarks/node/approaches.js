// The ways to call a model from Node that client.js times: onnxruntime-node, sidecall, and
// JavaScript that m2cgen generated; and a bare socket.
'use strict'

const fs = require('node:fs')
const net = require('node:net')
const path = require('node:path')
const { performance } = require('node:perf_hooks')

const AsyncFunction = (async () => {}).constructor

/**
 * Compiles a separate loop for each approach, so that V8 optimises it for this approach only. The
 * statement is part of the loop itself. `ready` runs before the clock starts, `keep` after it
 * stops.
 */
function loopOf(statement, environment, { ready = '', keep = 'out', isAsync = false } = {}) {
  const body = `
    let out
    for (let i = 0; i < items.length; ++i) {
      const x = items[i]
      ${ready}
      const start = clock.now()
      ${statement}
      times[i] = clock.now() - start
      kept[i] = ${keep}
    }`
  const names = Object.keys(environment)
  const made = new (isAsync ? AsyncFunction : Function)(
    'items',
    'times',
    'kept',
    'clock',
    ...names,
    body
  )
  return (items, times, kept) =>
    made(items, times, kept, performance, ...Object.values(environment))
}

/** Reads labels and probabilities from the tensors of both packages. */
const readTensors = {
  onnxruntime: out => [out.label.data, out.probabilities.data],
  sidecall: out => [out.label, out.probabilities],
  copies: out => out
}

/** Reads records: one label each, and probabilities in the contract's order. */
function readRecords(out) {
  const records = Array.isArray(out) ? out : [out]
  return [
    records.map(record => record.label),
    records.flatMap(record => Object.values(record.probabilities))
  ]
}

async function openOnnxRuntime(file) {
  const { InferenceSession, Tensor } = require(process.env.BENCH_ONNXRUNTIME_NODE)
  const session = await InferenceSession.create(file, {
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    executionMode: 'sequential'
  })
  return { session, Tensor }
}

function openSidecall(file) {
  return require(process.env.BENCH_SIDECALL).open(file)
}

/**
 * Everything that is made once per workload and number of rows: the loop, the function that makes
 * the request of a row, and the function that reads the answer. `start` is for concurrent calls.
 */
const approaches = {
  async run(work) {
    const { session, Tensor } = await openOnnxRuntime(work.model)
    const dims = [work.rows, work.width]
    return {
      loop: loopOf(
        "out = await session.run({ X: new Tensor('float64', x, dims) })",
        { session, Tensor, dims },
        { isAsync: true }
      ),
      start: x => session.run({ X: new Tensor('float64', x, dims) }),
      request: work.array,
      read: readTensors.onnxruntime
    }
  },

  /** Input and outputs are reused; copying the row into the input is timed. */
  async run_kept(work) {
    const { session, Tensor } = await openOnnxRuntime(work.model)
    const given = new Float64Array(work.rows * work.width)
    const feeds = { X: new Tensor('float64', given, [work.rows, work.width]) }
    const { label, probabilities } = await session.run(feeds)
    const fetches = { label, probabilities }
    const keep = '[label.data.slice(), probabilities.data.slice()]'
    const environment = { session, given, feeds, fetches, label, probabilities }
    return {
      loop: loopOf('given.set(x); await session.run(feeds, fetches)', environment, {
        isAsync: true,
        keep
      }),
      request: work.array,
      read: readTensors.copies
    }
  },

  /** The code that an application writes around onnxruntime-node: a record in, a record out. */
  async record(work) {
    const { session, Tensor } = await openOnnxRuntime(work.model)
    const { names, rows, width, classes } = work
    const predict = async records => {
      const values = new Float64Array(rows * width)
      let next = 0
      for (const record of records) for (const name of names) values[next++] = record[name]
      const { label, probabilities } = await session.run({
        X: new Tensor('float64', values, [rows, width])
      })
      const answers = []
      for (let row = 0; row < rows; ++row) {
        const answer = { label: Number(label.data[row]), probabilities: {} }
        for (let i = 0; i < classes; ++i)
          answer.probabilities[i] = probabilities.data[row * classes + i]
        answers.push(answer)
      }
      return answers
    }
    return {
      loop: loopOf('out = await predict(x)', { predict }, { isAsync: true }),
      request: work.records,
      read: readRecords
    }
  },

  async run_sync(work) {
    const model = await openSidecall(work.model)
    return {
      loop: loopOf('out = model.runSync({ X: x })', { model }),
      request: work.array,
      read: readTensors.sidecall
    }
  },

  async run_async(work) {
    const model = await openSidecall(work.model)
    return {
      loop: loopOf('out = await model.run({ X: x })', { model }, { isAsync: true }),
      start: x => model.run({ X: x }),
      request: work.array,
      read: readTensors.sidecall
    }
  },

  /** Copying the row into the input is timed. */
  async call(work) {
    return kept(work, 'X.set(x); call.runSync()', '')
  },

  /** Only the run is timed. */
  async call_run(work) {
    return kept(work, 'call.runSync()', 'X.set(x)')
  },

  async predict_sync(work) {
    const model = await openSidecall(work.model)
    return {
      loop: loopOf('out = model.predictSync(x)', { model }),
      request: work.record,
      read: readRecords
    }
  },

  async predict(work) {
    const model = await openSidecall(work.model)
    return {
      loop: loopOf('out = await model.predict(x)', { model }, { isAsync: true }),
      start: x => model.predict(x),
      request: work.record,
      read: readRecords
    }
  },

  async m2cgen(work) {
    const score = require(path.join(work.folder, 'twin.js'))
    // score() takes one array per row, of any kind.
    const request = row => Array.from({ length: work.rows }, (_, i) => work.row(row + i))
    const statement = work.rows === 1 ? 'out = [score(x[0])]' : 'out = x.map(score)'
    return { loop: loopOf(statement, { score }), request, read: out => [undefined, out.flat()] }
  },

  /** A round trip of one byte over the socket that work.model is the path of, without sidecall. */
  async socket(work) {
    const socket = net.connect(work.model).unref() // the process ends with stdin
    const byte = Buffer.alloc(1)
    let answered
    socket.on('data', () => answered())
    const exchange = () =>
      new Promise(resolve => {
        answered = resolve
        socket.write(byte)
      })
    await exchange()
    return {
      loop: loopOf('await exchange()', { exchange }, { isAsync: true }),
      request: work.array
    }
  },

  /** The cost of reading the clock twice, which is part of every other time. */
  async clock(work) {
    return { loop: loopOf('out = x', {}), request: work.array }
  }
}

async function kept(work, statement, ready) {
  const call = (await openSidecall(work.model)).call({ rows: work.rows })
  call.inputs.X.set(work.array(0))
  call.runSync()
  const { X } = call.inputs
  const { label, probabilities } = call.outputs
  const keep = '[label.slice(), probabilities.slice()]'
  return {
    loop: loopOf(statement, { call, X, label, probabilities }, { ready, keep }),
    request: work.array,
    read: readTensors.copies
  }
}

/** Loads a folder that benchmarks/models.py wrote. `uri` opens its model on a server. */
function loadWork(folder, rows, ring, uri = path.join(folder, 'model.onnx')) {
  const [available, width, classes] = fs
    .readFileSync(path.join(folder, 'shape.txt'), 'utf8')
    .trim()
    .split(' ')
    .map(Number)
  const bytes = fs.readFileSync(path.join(folder, 'features.f64'))
  const features = new Float64Array(bytes.buffer, bytes.byteOffset, available * width)
  const lines = fs.readFileSync(path.join(folder, 'records.jsonl'), 'utf8').split('\n', ring + rows)
  const all = lines.map(line => JSON.parse(line))
  const labels = path.join(folder, 'labels.txt') // only if the labels are strings
  const work = {
    folder,
    model: uri,
    rows,
    width,
    classes,
    names: Object.keys(all[0]),
    labels: fs.existsSync(labels) ? fs.readFileSync(labels, 'utf8').split('\n') : undefined
  }
  work.array = row => features.subarray(row * width, (row + rows) * width)
  work.row = row => features.subarray(row * width, (row + 1) * width)
  work.records = row => all.slice(row, row + rows)
  work.record = row => (rows === 1 ? all[row] : work.records(row))
  return work
}

module.exports = { approaches, loadWork, openOnnxRuntime, openSidecall }
