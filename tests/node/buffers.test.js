// ArrayBuffers that are detached, resized, shared or transferred, before, during and after runs.
// There must be no crash and no access to foreign memory.
'use strict'

const assert = require('node:assert/strict')
const { setTimeout: sleep } = require('node:timers/promises')
const test = require('node:test')
const { MessageChannel } = require('node:worker_threads')

const { openSync, SidecallError } = require('../../bindings/node')
const { modelPath } = require('./support/paths.js')
const slow = require('./support/slow.js')

const BIG = 4_000_000 // elements; the system gets memory of this size back when it is freed

const identity = openSync(modelPath('identity_float32.onnx'))
const slowModel = openSync(slow.source)
const rounds = ms => slow.inputsFor(ms).n

function detach(view) {
  structuredClone(view.buffer, { transfer: [view.buffer] })
  assert.equal(view.byteLength, 0)
  return view
}

// Detaches the buffer of a call's view. Node refuses to transfer such a buffer by structuredClone,
// but newer versions can detach it by transfer().
function giveAway(view) {
  if (view.buffer.transfer !== undefined) return void view.buffer.transfer()
  try {
    structuredClone(view.buffer, { transfer: [view.buffer] })
  } catch (error) {
    assert.equal(error.name, 'DataCloneError')
  }
}

// Overwrites memory that was just freed.
function overwrite() {
  globalThis.gc()
  const other = Array.from({ length: 4 }, () => new Float32Array(BIG).fill(13))
  return other.length
}

async function failureOf(action) {
  try {
    return await action()
  } catch (error) {
    assert.ok(error instanceof SidecallError || error instanceof TypeError, error.stack)
    return error
  }
}

test('a detached input is refused', async () => {
  for (const input of [
    () => detach(new Float32Array(3)),
    () => ({ data: detach(new Float32Array(3)), dims: [3] }),
    () => ({ data: detach(new Float32Array(3)), dims: [1] })
  ]) {
    assert.throws(
      () => identity.runSync({ x: input() }),
      error => error instanceof SidecallError || error instanceof TypeError
    )
    await assert.rejects(
      async () => identity.run({ x: input() }),
      error => error instanceof SidecallError || error instanceof TypeError
    )
  }
  assert.deepEqual([...identity.runSync({ x: Float32Array.of(1) }).y], [1])
})

test('an input may be transferred during its run', async () => {
  for (const size of [10, 10_000, BIG]) {
    const x = new Float32Array(size).fill(5)
    const run = slowModel.run({ x, n: rounds(size === BIG ? 0.1 : 20) })
    detach(x)
    overwrite()
    const { y } = await run
    assert.ok(y.every(value => value === 5))
  }
})

test('an input may be sent to another thread and freed there during its run', async () => {
  const { port1, port2 } = new MessageChannel()
  const x = new Float32Array(BIG).fill(6)
  const run = slowModel.run({ x, n: rounds(0.1) })
  port1.postMessage(x.buffer, [x.buffer])
  await new Promise(resolve => port2.once('message', resolve))
  overwrite()
  const { y } = await run
  assert.ok(y.every(value => value === 6))
  port1.close()
})

test('a resizable buffer is read at its current size, and may shrink during a run', async () => {
  const buffer = new ArrayBuffer(4 * BIG, { maxByteLength: 8 * BIG })
  const x = new Float32Array(buffer) // tracks the length of the buffer
  x.fill(7)
  assert.ok(identity.runSync({ x }).y.every(value => value === 7))
  assert.deepEqual([...identity.runSync({ x: new Float32Array(buffer, 8, 2) }).y], [7, 7])
  const run = slowModel.run({ x, n: rounds(0.1) })
  buffer.resize(0)
  overwrite()
  assert.ok((await run).y.every(value => value === 7))
  // Zero rows, according to the current length.
  assert.throws(() => identity.runSync({ x }), { code: 'SHAPE_MISMATCH' })
  buffer.resize(8)
  assert.equal(identity.runSync({ x }).y.length, 2)
})

test('a view that is outside of its shrunk buffer is refused', () => {
  const buffer = new ArrayBuffer(64, { maxByteLength: 64 })
  const fixed = new Float32Array(buffer, 0, 16)
  const tail = new Float32Array(buffer, 32)
  buffer.resize(16)
  for (const x of [fixed, tail, { data: fixed, dims: [16] }]) {
    assert.throws(
      () => identity.runSync({ x }),
      error => error instanceof SidecallError || error instanceof TypeError
    )
  }
})

test('a getter may shrink or detach an input that was read before the getter runs', async () => {
  const attempts = [
    buffer => buffer.resize(0),
    buffer => structuredClone(buffer, { transfer: [buffer] })
  ]
  for (const change of attempts) {
    for (const method of ['runSync', 'run']) {
      const buffer = new ArrayBuffer(4 * BIG, { maxByteLength: 4 * BIG })
      const x = new Float32Array(buffer).fill(1)
      const inputs = {
        x,
        get n() {
          change(buffer)
          overwrite()
          return rounds(0)
        }
      }
      const answer = await failureOf(async () => slowModel[method](inputs))
      if (!(answer instanceof Error)) assert.ok(answer.y.every(value => value === 1))
    }
  }
  assert.deepEqual([...identity.runSync({ x: Float32Array.of(1) }).y], [1])
})

test('overwritten properties of a subclass cannot change the length of an input', () => {
  for (const name of ['length', 'byteLength']) {
    const buffer = new ArrayBuffer(4 * BIG)
    const x = new Float32Array(buffer).fill(1)
    class Odd extends BigInt64Array {
      get [name]() {
        structuredClone(buffer, { transfer: [buffer] })
        overwrite()
        return 1e6
      }
    }
    const fresh = openSync(slow.source) // its inputs have no memory yet
    assert.ok(fresh.runSync({ x, n: new Odd(1) }).y.every(value => value === 1))
  }
})

test('dims of a subclass are read once', () => {
  const dims = [2, 1]
  dims.map = () => new Proxy([2], {})
  dims[Symbol.iterator] = function* () {
    yield 1e9
  }
  assert.throws(() => identity.runSync({ x: { data: Float32Array.of(1, 2), dims } }), {
    code: 'SHAPE_MISMATCH'
  })
  dims.length = 1
  assert.deepEqual([...identity.runSync({ x: { data: Float32Array.of(1, 2), dims } }).y], [1, 2])
  assert.throws(() => identity.runSync({ x: { data: [1], dims: new Array(100).fill(1) } }), {
    code: 'SHAPE_MISMATCH'
  })
})

test('shared and growable buffers are accepted as inputs', async () => {
  const shared = new Float32Array(new SharedArrayBuffer(12))
  shared.set([1, 2, 3])
  assert.deepEqual([...identity.runSync({ x: shared }).y], [1, 2, 3])
  assert.deepEqual([...(await identity.run({ x: shared })).y], [1, 2, 3])
  assert.ok(identity.runSync({ x: shared }).y.buffer instanceof ArrayBuffer)
  const growable = new SharedArrayBuffer(8, { maxByteLength: 4096 })
  const x = new Float32Array(growable)
  x.fill(4)
  assert.deepEqual([...identity.runSync({ x }).y], [4, 4])
  growable.grow(12)
  assert.equal(identity.runSync({ x }).y.length, 3)
})

test('a view of a part of a buffer is read at its offset', async () => {
  const all = Float32Array.from({ length: 100 }, (_, i) => i)
  for (const offset of [0, 1, 3, 16, 99]) {
    const part = all.subarray(offset, offset + 2)
    assert.deepEqual([...identity.runSync({ x: part }).y], [...part])
    assert.deepEqual([...(await identity.run({ x: part })).y], [...part])
  }
  const small = Buffer.from([1, 0, 1]) // is part of Node's buffer pool
  assert.deepEqual(
    [...openSync(modelPath('identity_uint8.onnx')).runSync({ x: small }).y],
    [1, 0, 1]
  )
})

test('after a view of a call was transferred, its memory stays and the call stays usable', async () => {
  for (const size of [2, 100_000, BIG]) {
    const call = slowModel.call()
    call.reshape('x', [size]).fill(2)
    call.inputs.n[0] = 1n
    call.runSync()
    const y = call.outputs.y
    giveAway(call.inputs.x)
    giveAway(y)
    overwrite()
    // The call may still have its memory or refuse the run, but it must not crash.
    const again = await failureOf(async () => call.runSync())
    if (again instanceof Error)
      assert.match(
        again.message,
        /^input 'x': expected its values, got a view that was transferred/
      )
    else assert.equal(call.outputs.y.length, size)
    call.reshape('x', [size]).fill(3)
    call.inputs.n[0] = 1n
    call.runSync()
    assert.ok(call.outputs.y.every(value => value === 3))
    call.close()
  }
})

test('a view of a call may be transferred during its run', async () => {
  const call = slowModel.call()
  const x = call.reshape('x', [BIG]).fill(2)
  call.inputs.n[0] = 10n
  const run = call.run()
  giveAway(x)
  overwrite()
  await run
  assert.equal(call.outputs.y.length, BIG)
  await sleep(1)
  call.reshape('x', [1]).fill(1)
  call.runSync()
  assert.deepEqual([...call.outputs.y], [1])
})

test('outputs of run can be transferred', async () => {
  const { y } = identity.runSync({ x: Float32Array.of(1, 2) })
  const moved = structuredClone(y, { transfer: [y.buffer] })
  assert.deepEqual([...moved], [1, 2])
  assert.equal(y.length, 0)
  globalThis.gc()
  assert.deepEqual([...identity.runSync({ x: Float32Array.of(3) }).y], [3])
  assert.deepEqual([...moved], [1, 2])
})

test('open copies the bytes of a model, which may change or be transferred afterwards', async () => {
  const bytes = new Uint8Array(require('node:fs').readFileSync(modelPath('penguins.onnx')))
  const { open } = require('../../bindings/node')
  const opening = open(bytes)
  bytes.fill(0)
  detach(bytes)
  overwrite()
  const model = await opening
  assert.equal(model.name, 'penguins')
  assert.equal(model.predictSync({}).label.length > 0, true)
  await assert.rejects(
    async () => open(detach(new Uint8Array(10))),
    error => error instanceof SidecallError || error instanceof TypeError
  )
})
