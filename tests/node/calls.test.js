// Reusable calls: rows, shapes, strings, use by two runs at the same time, outputs before the first
// run. views.test.js covers the memory of calls.
'use strict'

const assert = require('node:assert/strict')
const test = require('node:test')

const { openSync, SidecallError } = require('../../bindings/node')
const { modelPath } = require('./support/paths.js')
const slow = require('./support/slow.js')

const NOT_OBJECTS = [null, 1, 'x', true, 1n, Symbol('s'), [], () => {}]
const add = openSync(modelPath('add.onnx'))
const x = Float32Array.of(1, 2)

test('a number of rows that is not a whole number of 1 or more is refused', () => {
  for (const rows of ['1', null, 1n, true, 1.5, Number.NaN, {}]) {
    assert.throws(
      () => add.call({ rows }),
      error => error instanceof TypeError || error.code === 'INVALID_ARGUMENT'
    )
  }
  for (const rows of [0, -1]) assert.throws(() => add.call({ rows }), { code: 'INVALID_ARGUMENT' })
  for (const rows of [2 ** 53, 2 ** 40, Number.POSITIVE_INFINITY]) {
    assert.throws(
      () => add.call({ rows }),
      error => error instanceof TypeError || error instanceof SidecallError
    )
  }
  for (const options of [...NOT_OBJECTS, { row: 1 }])
    assert.throws(() => add.call(options), TypeError)
  assert.equal(add.call().rows, 1)
  assert.equal(add.call({ rows: 3 }).rows, 3)
  assert.equal(add.call({ rows: 3 }).inputs.x.length, 6)
})

test('a call with very many rows works or fails with OUT_OF_MEMORY', () => {
  for (const rows of [1e9, 1e12]) {
    for (const attempt of [() => add.call({ rows }), () => add.call().reshape('x', [rows, 2])]) {
      try {
        attempt()
      } catch (error) {
        assert.equal(error.code, 'OUT_OF_MEMORY')
      }
    }
  }
  globalThis.gc()
  assert.deepEqual([...add.runSync({ x }).y], [11, 22])
})

test('rows that were never written take no physical memory', () => {
  const before = process.memoryUsage().rss
  const call = add.call({ rows: 25_000_000 }) // 200 MB
  assert.equal(call.inputs.x.length, 50_000_000)
  assert.ok(process.memoryUsage().rss - before < 50e6)
  call.close()
})

test('a call that is used by two runs at the same time is busy', async () => {
  const call = openSync(slow.source).call()
  call.reshape('x', [2]).set([1, 2])
  call.inputs.n[0] = 100_000n
  const run = call.run({ timeoutMs: 10_000 })
  const busy = { name: 'SidecallError', code: 'BUSY', retryable: true }
  assert.throws(() => call.runSync(), busy)
  await assert.rejects(async () => call.run(), busy)
  assert.throws(() => call.reshape('x', [1]), busy)
  assert.throws(() => call.outputs.y, busy)
  await run
  assert.deepEqual([...call.outputs.y], [1, 2])
  call.inputs.n[0] = 0n
  call.runSync()
})

test('outputs are refused before a run and after a failure, and an unknown name is undefined', async () => {
  const call = openSync(modelPath('gather.onnx')).call()
  assert.throws(() => call.outputs.y, { code: 'NOT_RUN' })
  call.inputs.at[0] = 1n
  call.runSync()
  assert.deepEqual([...call.outputs.y], [6])
  call.inputs.at[0] = 9n
  assert.throws(() => call.runSync(), { code: 'ENGINE' })
  assert.throws(() => call.outputs.y, { code: 'NOT_RUN' })
  await assert.rejects(async () => call.run(), { code: 'ENGINE' })
  call.inputs.at[0] = 0n
  await call.run()
  assert.deepEqual([...call.outputs.y], [5])
  assert.equal(call.outputs.none, undefined)
  assert.equal(call.inputs.none, undefined)
})

test('a string input of a call takes an assigned array, and refuses other values', () => {
  const call = openSync(modelPath('strings.onnx')).call({ rows: 2 })
  call.inputs.first = ['a', 'b']
  call.inputs.second = ['c', 'd']
  call.runSync()
  assert.deepEqual([...call.outputs.joined], ['ac', 'bd'])
  for (const value of [['a'], ['a', 1], 'ab', null, ['a', '\0'], ['a', '\ud800']]) {
    assert.throws(
      () => (call.inputs.first = value),
      error => error instanceof SidecallError || error instanceof TypeError,
      String(value)
    )
  }
  const numeric = add.call()
  assert.throws(
    () => (numeric.inputs.x = 1),
    error => error instanceof SidecallError || error instanceof TypeError
  )
  assert.throws(
    () => {
      'use strict'
      numeric.inputs.z = x
    },
    error => error instanceof SidecallError || error instanceof TypeError
  )
})

test('reshape refuses unknown names, wrong ranks and wrong dimensions', () => {
  const call = openSync(modelPath('free_dims.onnx')).call()
  assert.equal(call.reshape('x', [2, 4, 3]).length, 24)
  call.runSync()
  for (const dims of [
    [2, 4],
    [2, 4, 4],
    [0, 1, 3],
    [2 ** 40, 2 ** 20, 3]
  ]) {
    assert.throws(() => call.reshape('x', dims), SidecallError)
  }
  for (const dims of [undefined, null, 'x', 1, ['2', 4, 3], [1.5, 1, 3], [-1, 1, 3], {}]) {
    assert.throws(
      () => call.reshape('x', dims),
      error => error instanceof TypeError || error instanceof SidecallError
    )
  }
  assert.throws(() => call.reshape('none', [1]), { code: 'UNKNOWN_NAME' })
  for (const name of [undefined, 1, null, Symbol('x')])
    assert.throws(
      () => call.reshape(name, [1, 1, 3]),
      error => error instanceof TypeError || error.code === 'UNKNOWN_NAME'
    )
  assert.equal(call.reshape('x', [1, 1, 3]).length, 3)
  call.runSync()
})
