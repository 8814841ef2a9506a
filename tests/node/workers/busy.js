// A worker that repeats its operation until it is terminated. Started by workers.test.js.
'use strict'

const { parentPort, workerData } = require('node:worker_threads')

const { open, openSync } = require(workerData.package)
const { modelPath } = require('../support/paths.js')
const slow = require('../support/slow.js')

const RECORD = { x0: 1, x1: 2 }
let work

const kinds = {
  async run() {
    const model = openSync(slow.source)
    work = () =>
      Promise.all([
        model.run(slow.inputsFor(5)),
        model.run(slow.inputsFor(0.1)),
        model.run(slow.inputsFor(60_000)).catch(() => {})
      ])
  },
  async runSync() {
    const model = openSync(slow.source)
    work = () => model.runSync(slow.inputsFor(2))
  },
  async runForever() {
    const model = openSync(slow.source)
    work = () => model.runSync(slow.inputsFor(500))
  },
  async call() {
    const model = openSync(slow.source)
    const call = model.call()
    call.inputs.n[0] = 500n
    work = () => call.run()
  },
  async open() {
    work = async () => (await open(modelPath('penguins.onnx'), { verify: 'off' })).close()
  },
  async predict() {
    const model = openSync(modelPath('prediction_wide.onnx'))
    work = () => Promise.all(Array.from({ length: 50 }, () => model.predict([RECORD, RECORD])))
  },
  async failures() {
    const model = openSync(modelPath('gather.onnx'))
    work = () => model.run({ at: [9] }).catch(() => {})
  },
  async exit() {
    const model = openSync(slow.source)
    work = () => {
      model.run(slow.inputsFor(60_000))
      process.exit(7)
    }
  },
  async crash() {
    const model = openSync(slow.source)
    work = () => {
      model.run(slow.inputsFor(60_000))
      throw new Error('on purpose')
    }
  }
}

async function main() {
  await kinds[workerData.kind]()
  parentPort.postMessage('ready')
  for (let i = 0; i < (workerData.times ?? Number.POSITIVE_INFINITY); i++) await work()
}

main()
