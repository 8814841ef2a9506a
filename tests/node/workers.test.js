// Worker threads in any number that end at any moment, processes that exit during a run, and two
// copies of the package in one process.
'use strict'

const assert = require('node:assert/strict')
const { once } = require('node:events')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')
const { setTimeout: sleep } = require('node:timers/promises')
const { Worker } = require('node:worker_threads')

const sidecall = require('../../bindings/node')
const { modelPath, packageFolder, root, temporaryFolder } = require('./support/paths.js')
const { runScript } = require('./support/process.js')

function start(kind, { folder = packageFolder, times } = {}) {
  const { SIDECALL_NODE_ADDON: named, ...env } = process.env
  if (folder === packageFolder && named !== undefined) env.SIDECALL_NODE_ADDON = named
  return new Worker(path.join(__dirname, 'workers', 'busy.js'), {
    workerData: { package: folder, kind, times },
    env
  })
}

async function startReady(kind, options) {
  const worker = start(kind, options)
  await once(worker, 'message')
  return worker
}

function assertWorks({ openSync }) {
  const { y } = openSync(modelPath('add.onnx')).runSync({ x: Float32Array.of(1, 2) })
  assert.equal(y.length, 2)
}

/**
 * Copies the package to a folder of its own. The copy has its own native addon, or a link to the
 * addon of the package: npm can produce either.
 */
function copyPackage({ isShared = false } = {}) {
  const copy = path.join(temporaryFolder(), 'sidecall')
  const leftOut = ['node_modules', 'src', 'scripts'].map(name => path.join(packageFolder, name))
  fs.cpSync(packageFolder, copy, { recursive: true, filter: from => !leftOut.includes(from) })
  fs.mkdirSync(path.join(copy, 'build'), { recursive: true })
  const addon =
    process.env.SIDECALL_NODE_ADDON ??
    require('../../bindings/node/lib/platform.js').locate('sidecall.node')
  const place = path.join(copy, 'build', 'sidecall.node')
  fs.rmSync(place, { force: true })
  if (isShared) fs.symlinkSync(addon, place)
  else fs.copyFileSync(addon, place)
  return copy
}

// Loads a copy without the environment variable that names one addon for all copies.
function requireCopy(copy) {
  const named = process.env.SIDECALL_NODE_ADDON
  delete process.env.SIDECALL_NODE_ADDON
  try {
    return require(copy)
  } finally {
    if (named !== undefined) process.env.SIDECALL_NODE_ADDON = named
  }
}

test('workers open, run and end by themselves', async () => {
  const workers = Array.from({ length: 6 }, (_, i) =>
    start(['runSync', 'call', 'open', 'predict', 'failures', 'runSync'][i], { times: 5 })
  )
  for (const [code] of await Promise.all(workers.map(worker => once(worker, 'exit'))))
    assert.equal(code, 0)
  assertWorks(sidecall)
})

for (const kind of ['run', 'runSync', 'call', 'open', 'predict', 'failures']) {
  test(`workers are terminated during ${kind}`, async () => {
    for (let round = 0; round < 3; round++) {
      const workers = await Promise.all(Array.from({ length: 3 }, () => startReady(kind)))
      await sleep(round * 3)
      await Promise.all(workers.map(worker => worker.terminate()))
    }
    assertWorks(sidecall)
  })
}

test('a worker may be terminated while it starts', async () => {
  for (let i = 0; i < 12; i++) {
    const worker = start('open')
    await sleep(i * 3)
    await worker.terminate()
  }
  assertWorks(sidecall)
})

test('a worker may be terminated in a synchronous run', async () => {
  const worker = await startReady('runForever')
  await sleep(20)
  await worker.terminate()
  assertWorks(sidecall)
})

test('a worker may exit or throw while its run is pending', async () => {
  const exiting = start('exit')
  assert.deepEqual(await once(exiting, 'exit'), [7])
  const crashing = start('crash')
  const [error] = await once(crashing, 'error')
  assert.equal(error.message, 'on purpose')
  assertWorks(sidecall)
})

test('many threads can open and verify one file at the same time', async () => {
  const done = await runScript(
    `
    const { Worker, isMainThread } = require('node:worker_threads')
    const source = process.env.BODY
    const workers = Array.from({ length: 8 }, () => new Worker(source, { eval: true }))
    const answers = new Set()
    for (const worker of workers) worker.on('message', text => answers.add(text))
    process.on('exit', () => console.log(answers.size, [...answers][0]))`,
    {
      env: {
        BODY: `
        const { openSync } = require(${JSON.stringify(packageFolder)})
        const model = openSync(${JSON.stringify(modelPath('penguins.onnx'))})
        require('node:worker_threads').parentPort.postMessage(JSON.stringify(model.predictSync({})))`
      }
    }
  )
  assert.deepEqual([done.code, done.signal, done.err], [0, null, ''])
  assert.match(done.out, /^1 \{"label":/)
})

test('the process may exit during runs, with the exit code that it asked for', async () => {
  const bodies = {
    exit: 'process.exit(3)',
    exitLater: 'setTimeout(() => process.exit(3), 5)',
    inListener:
      "process.on('exit', () => sidecall.openSync(modelPath('add.onnx')).runSync({ x: [1, 2] })); process.exit(3)"
  }
  for (const [name, end] of Object.entries(bodies)) {
    const done = await runScript(`
      const model = sidecall.openSync(slow.source)
      for (let i = 0; i < 20; i++) model.run(slow.inputsFor(60_000))
      const call = model.call()
      call.inputs.n[0] = 1_000_000_000n
      call.run()
      sidecall.open(modelPath('penguins.onnx'))
      ${end}`)
    assert.deepEqual([name, done.code, done.signal, done.err], [name, 3, null, ''])
  }
})

test('an uncaught error ends the process during runs as usual', async () => {
  const done = await runScript(`
    const model = sidecall.openSync(slow.source)
    for (let i = 0; i < 5; i++) model.run(slow.inputsFor(60_000))
    throw new Error('on purpose')`)
  assert.deepEqual([done.code, done.signal], [1, null])
  assert.match(done.err, /on purpose/)
})

test('a failed run without a handler is an unhandled rejection with the whole error', async () => {
  const done = await runScript("sidecall.openSync(modelPath('gather.onnx')).run({ at: [9] })")
  assert.deepEqual([done.code, done.signal], [1, null])
  assert.match(done.err, /SidecallError: /)
  assert.match(done.err, /code: 'ENGINE'/)
})

for (const isShared of [false, true]) {
  test(`two copies of the package work in one process, ${isShared ? 'with one native file' : 'each with its own native file'}`, async () => {
    const other = requireCopy(copyPackage({ isShared }))
    assert.notEqual(other.open, sidecall.open)
    for (const each of [sidecall, other]) assertWorks(each)
    const models = [sidecall, other, sidecall, other].map(({ openSync }) =>
      openSync(modelPath('penguins.onnx'))
    )
    const answers = await Promise.all(models.map(model => model.predict({})))
    for (const answer of answers) assert.deepEqual(answer, answers[0])
    // Users of a copy get the error class of that copy.
    for (const [i, model] of models.entries()) {
      const expected = [sidecall, other][i % 2].SidecallError
      assert.throws(
        () => model.predictSync({ x: 1 }),
        error => error instanceof expected && error.code === 'UNKNOWN_NAME'
      )
      await assert.rejects(model.run({}), error => error instanceof expected)
    }
  })
}

test('workers that use two copies of the package may be terminated', async () => {
  const copy = copyPackage()
  const starts = ['run', 'call', 'predict'].flatMap(kind => [
    startReady(kind),
    startReady(kind, { folder: copy })
  ])
  const workers = await Promise.all(starts)
  await sleep(10)
  await Promise.all(workers.map(worker => worker.terminate()))
  assertWorks(sidecall)
})

test('a model that is sent to another thread arrives without its methods, or not at all', () => {
  const model = sidecall.openSync(modelPath('add.onnx'))
  for (const object of [model, model.call()]) {
    let copy = {}
    try {
      copy = structuredClone(object)
    } catch (error) {
      assert.match(error.name, /^(DataCloneError|SidecallError)$/)
    }
    assert.equal(copy.runSync, undefined)
    assert.throws(() => object.runSync.call(copy, {}), TypeError)
  }
})

test('import and require give the same package', async () => {
  const imported = await import(path.join(root, 'bindings', 'node', 'index.mjs'))
  for (const name of ['open', 'openSync', 'engine', 'version', 'SidecallError'])
    assert.equal(imported[name], sidecall[name])
  assert.deepEqual(
    Object.keys(imported)
      .filter(name => !['default', 'module.exports'].includes(name))
      .sort(),
    Object.keys(sidecall).sort()
  )
  assert.equal(sidecall.version, fs.readFileSync(path.join(root, 'VERSION'), 'utf8').trim())
})
