// How the event loop notices that served runs are over: by polling, and by descriptors when polling
// is switched off or finds nothing. Every run settles once in each case.
'use strict'

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')
const { Worker } = require('node:worker_threads')

const { open } = require('../../../bindings/node')
const { modelPath, packageFolder, temporaryFolder } = require('../support/paths.js')
const { runScript } = require('../support/process.js')
const { serve } = require('../support/server.js')
const slow = require('../support/slow.js')

const WAIT = { waitMs: 20_000 }

function serveSlow() {
  const file = path.join(temporaryFolder(), 'slow.onnx')
  fs.writeFileSync(file, slow.source)
  return serve(file)
}

/** Runs of `seconds` milliseconds and more, each with its own input, by a process of its own. */
const MIXED = `
const model = await sidecall.open(process.argv[1], { waitMs: 20000 })
for (const count of [1, 3, 64, 300]) {
  const runs = Array.from({ length: count }, async (_, i) => {
    const { y } = await model.run(slow.inputsFor(i % 50 === 49 ? 3 : 0, Float32Array.of(i)))
    if (y[0] !== i) throw new Error(i + ': ' + y[0])
    return 1
  })
  console.log((await Promise.all(runs)).length)
}
const stop = new AbortController()
const outcomes = Array.from({ length: 70 }, (_, i) =>
  model
    .run(
      slow.inputsFor(i === 0 ? 400 : 0.01),
      i === 1 ? { timeoutMs: 0.001 } : { signal: stop.signal }
    )
    .then(() => 'done', error => error.code === 'TIMEOUT' ? 'late' : error.name))
setTimeout(() => stop.abort(), 100)
const counts = {}
for (const outcome of await Promise.all(outcomes)) counts[outcome] = (counts[outcome] ?? 0) + 1
const sum = Object.values(counts).reduce((a, b) => a + b)
console.log(sum, (counts.AbortError ?? 0) >= 1)
console.log((await model.run(slow.inputsFor(0, Float32Array.of(5)))).y[0])
`

for (const time of ['0', '20', '5000', undefined]) {
  test(`runs settle once with SIDECALL_SPIN_US=${time}`, async () => {
    const server = serveSlow()
    try {
      const done = await runScript(`;(async () => { ${MIXED} })()`, {
        args: [server.address],
        env: time === undefined ? {} : { SIDECALL_SPIN_US: time }
      })
      assert.equal(done.err, '')
      // The model stays open: only runs keep the process alive.
      assert.deepEqual([done.code, done.out], [0, '1\n3\n64\n300\n70 true\n5\n'])
    } finally {
      await server.stop()
    }
  })
}

test('fast runs do not wait for slow ones that were started before', async () => {
  const servers = [serveSlow(), serve(modelPath('matrix.onnx'))]
  try {
    const [busy, fast] = await Promise.all(servers.map(({ address }) => open(address, WAIT)))
    let isOver = false
    const stop = new AbortController()
    const long = Array.from({ length: 8 }, () =>
      busy.run(slow.inputsFor(60_000), { signal: stop.signal }).finally(() => (isOver = true))
    )
    for (let i = 0; i < 300; ++i) {
      const record = { a: 1, b: 2, c: true, d: 0.5 }
      assert.equal((await fast.predict(record)).prediction, 621)
    }
    assert.equal(isOver, false)
    stop.abort()
    for (const run of long) await assert.rejects(run, { name: 'AbortError' })
  } finally {
    await Promise.all(servers.map(server => server.stop()))
  }
})

test('every run settles once when the server is killed', async () => {
  const server = serveSlow()
  ;(await open(server.address, WAIT)).close()
  const model = await open(server.address)
  const settled = new Array(200).fill(0)
  const runs = settled.map((_, i) =>
    model.run(slow.inputsFor(i === 60 ? 60_000 : 0.05)).then(
      () => ++settled[i],
      error => {
        ++settled[i]
        assert.match(error.code, /PEER_DIED|UNREACHABLE|TIMEOUT/)
      }
    )
  )
  await Promise.any(runs)
  await server.kill()
  await Promise.all(runs)
  assert.ok(settled.every(count => count === 1))
  model.close()
})

test('a worker ends while it polls for runs', async () => {
  const server = serveSlow()
  try {
    const body = `
const { parentPort, workerData } = require('node:worker_threads')
const sidecall = require(workerData.folder)
sidecall.open(workerData.address, { waitMs: 20000 }).then(async model => {
  const again = async () => { for (;;) await model.run(workerData.inputs) }
  for (let i = 0; i < 40; ++i) again()
  parentPort.postMessage('running')
})`
    for (let i = 0; i < 5; ++i) {
      const workerData = {
        folder: packageFolder,
        address: server.address,
        inputs: slow.inputsFor(0)
      }
      const worker = new Worker(body, { eval: true, workerData })
      await new Promise((resolve, reject) => {
        worker.once('message', resolve)
        worker.once('error', reject)
      })
      await new Promise(resolve => setTimeout(resolve, 10 * i))
      assert.equal(await worker.terminate(), 1)
    }
    const model = await open(server.address, WAIT)
    assert.equal((await model.run(slow.inputsFor(0, Float32Array.of(9)))).y[0], 9)
    model.close()
  } finally {
    await server.stop()
  }
})
