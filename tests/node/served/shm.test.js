// The same package over shared memory: all of tests/vectors on served models, and cases that only
// another process can cause.
'use strict'

const assert = require('node:assert/strict')
const { once } = require('node:events')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')
const { setTimeout: sleep } = require('node:timers/promises')
const { Worker } = require('node:worker_threads')

const { open, openSync } = require('../../../bindings/node')
const { modelPath, packageFolder, temporaryFolder } = require('../support/paths.js')
const { runScript } = require('../support/process.js')
const { serve } = require('../support/server.js')
const slow = require('../support/slow.js')
const { casesByFile, runCase } = require('../support/vector_runner.js')

const WAIT = { waitMs: 20_000 }
const LONG = 60_000

test('every shared case gives the same outcome over shm:', { concurrency: 3 }, async context => {
  const files = casesByFile()
  const runs = [...files].map(([file, those]) =>
    context.test(file, async () => {
      const server = serve(modelPath(file))
      const openers = [({ open: options }) => open(server.address, { ...WAIT, ...options })]
      try {
        for (const one of those) await runCase(one, openers)
      } finally {
        await server.stop()
      }
    })
  )
  await Promise.all(runs)
  const count = [...files.values()].flat().length
  assert.ok(count >= 200, `${count} cases`)
})

/** Serves slow.onnx for as long as `use` takes. */
async function withSlow(use) {
  const file = path.join(temporaryFolder(), 'slow.onnx')
  fs.writeFileSync(file, slow.source)
  const server = serve(file)
  try {
    const first = await open(server.address, WAIT)
    first.close()
    const model = await open(server.address)
    await use(model, server)
    model.close()
  } finally {
    await server.stop()
  }
}

async function assertWorks(model) {
  assert.equal((await model.run(slow.inputsFor(0, Float32Array.of(7)))).y[0], 7)
  assert.equal(model.runSync(slow.inputsFor(0, Float32Array.of(8))).y[0], 8)
}

test('the event loop turns while a served model runs', () =>
  withSlow(async model => assert.equal(await slow.numAborted(model, 4, 5_000), 4)))

test('each of many simultaneous runs gets its own answer', () =>
  withSlow(async model => {
    const runs = Array.from({ length: 500 }, async (_, i) => {
      const { y } = await model.run(
        slow.inputsFor(i % 9 === 0 ? 0.2 : 0, Float32Array.of(i, i + 1))
      )
      assert.deepEqual([...y], [i, i + 1])
    })
    await Promise.all(runs)
  }))

test('runs that wait in the queue hold no connection', () =>
  withSlow(async model => {
    const numSockets = () =>
      fs.readdirSync('/proc/self/fd').filter(fd => {
        try {
          return fs.readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:')
        } catch {
          return false // closed in the meantime
        }
      }).length
    const before = numSockets()
    let most = 0
    let left = 2000
    // There is always a backlog: each answer starts another run.
    const ask = async () => {
      await model.run(slow.inputsFor(0.1, Float32Array.of(1)))
      most = Math.max(most, numSockets())
      if (left-- > 0) await ask()
    }
    await Promise.all(Array.from({ length: 400 }, ask))
    // At most 128 runs are under way, and as many may begin while the answers of these are read.
    assert.ok(most - before <= 260, `${most - before} sockets for 400 runs at once`)
  }))

test('hundreds of calls of one server can run at the same time', () =>
  withSlow(async model => {
    const calls = Array.from({ length: 300 }, () => model.call())
    const runs = calls.map(async (call, i) => {
      call.inputs.x[0] = i
      call.inputs.n[0] = 1n
      await call.run()
      assert.equal(call.outputs.y[0], i)
    })
    await Promise.all(runs)
    for (const call of calls) call.close()
  }))

test('an abort and a deadline end a served run, and the model stays usable', () =>
  withSlow(async model => {
    await assert.rejects(model.run(slow.inputsFor(LONG), { timeoutMs: 20 }), {
      code: 'TIMEOUT',
      retryable: true
    })
    const controller = new AbortController()
    const run = model.run(slow.inputsFor(LONG), { signal: controller.signal })
    await sleep(10)
    controller.abort('enough')
    await assert.rejects(run, error => error === 'enough')
    assert.throws(() => model.runSync(slow.inputsFor(LONG), { timeoutMs: 5 }), { code: 'TIMEOUT' })
    // The server may still be busy with the last run. Only an asynchronous run may wait for it:
    // the event loop has to continue, because it reports the abort to the server.
    const { y } = await model.run(slow.inputsFor(1, Float32Array.of(9)), { timeoutMs: 10_000 })
    assert.equal(y[0], 9)
    await assertWorks(model)
  }))

test('a run whose server is killed fails with PEER_DIED', () =>
  withSlow(async (model, server) => {
    await assertWorks(model)
    const runs = Array.from({ length: 5 }, () => model.run(slow.inputsFor(LONG)))
    const outcomes = Promise.allSettled(runs)
    await sleep(50)
    await server.kill()
    for (const { reason } of await outcomes)
      assert.ok(['PEER_DIED', 'UNREACHABLE'].includes(reason.code), reason.message)
    await assert.rejects(
      model.run(slow.inputsFor(0)),
      error => error.retryable && error.family === 'channel'
    )
  }))

test('views of a call outlive their server', () =>
  withSlow(async (model, server) => {
    const call = model.call()
    const x = call.reshape('x', [1000]).fill(3)
    call.inputs.n[0] = 1n
    call.runSync()
    const { y } = call.outputs
    await server.kill()
    assert.ok(x.every(value => value === 3) && y.every(value => value === 3))
    x.fill(4)
    assert.throws(() => call.runSync(), { family: 'channel' })
    call.close()
    model.close()
    globalThis.gc()
    assert.ok(x.every(value => value === 4))
    assert.equal(y.length, 1000)
  }))

test('opens that wait do not occupy the thread pool, and an abort lets the process end', async () => {
  const done = await runScript(`
    const controller = new AbortController()
    const { signal } = controller
    let open = 0
    for (let i = 0; i < 8; i++) sidecall.open('shm:absent-' + i, { waitMs: 60_000, signal }).catch(error => { if (error.name === 'AbortError') open += 1 })
    require('node:fs').stat('/', () => controller.abort())
    process.on('exit', () => console.log(open))`)
  assert.deepEqual(done, { code: 0, signal: null, out: '8\n', err: '' })
})

test('a worker and the process can end while opens wait', async () => {
  const body = `
    const { parentPort } = require('node:worker_threads')
    const sidecall = require(${JSON.stringify(packageFolder)})
    for (let i = 0; i < 3; i++) sidecall.open('shm:absent', { waitMs: 60_000 })
    parentPort.postMessage('waiting')`
  for (let i = 0; i < 5; i++) {
    const worker = new Worker(body, { eval: true })
    await once(worker, 'message')
    await worker.terminate()
  }
  const done = await runScript(`
    for (let i = 0; i < 3; i++) sidecall.open('shm:absent', { waitMs: 60_000 })
    setTimeout(() => process.exit(3), 5)`)
  assert.deepEqual(done, { code: 3, signal: null, out: '', err: '' })
})

test('opening a name without a server fails with UNREACHABLE', async () => {
  const address = `shm:${path.join(temporaryFolder(), 'none.sock')}`
  assert.throws(() => openSync(address), {
    code: 'UNREACHABLE',
    family: 'channel',
    retryable: true
  })
  await assert.rejects(open(address, { waitMs: 30 }), { code: 'UNREACHABLE' })
})
