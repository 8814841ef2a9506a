// The few errors that the JavaScript side creates itself have the same text and status as core's
// errors for the same mistake.
'use strict'

const assert = require('node:assert/strict')
const os = require('node:os')
const path = require('node:path')
const { test } = require('node:test')
const { openSync } = require('../../bindings/node')
const { addon } = require('../../bindings/node/lib/addon.js')
const { fail } = require('../../bindings/node/lib/errors.js')

const models = path.join(__dirname, '..', 'vectors', 'models')
const OPTIONS = { verify: 0, extra: 0, engine: 0, allowExec: 0, timeoutNs: -1, waitNs: 0 }

function errorOf(run) {
  try {
    run()
  } catch (error) {
    const { message, code, family, retryable } = error
    return { message, code, family, retryable }
  }
  return null
}

test('JavaScript and core give the same error for outputs that are read before a run', () => {
  const native = addon.openSync(path.join(models, 'gbm.onnx'), OPTIONS)
  const call = new addon.Call(native, 1, () => {})
  const own = openSync(path.join(models, 'gbm.onnx')).call()
  const expected = errorOf(() => call.refuseColumn(0, 0))
  assert.equal(expected.code, 'NOT_RUN')
  assert.deepEqual(
    errorOf(() => own.outputs.label),
    expected
  )
})

test('JavaScript and core give the same error for a call that runs or waits', async () => {
  const native = addon.openSync(path.join(models, 'slow.onnx'), OPTIONS)
  let release
  const released = new Promise(resolve => {
    release = resolve
  })
  const call = new addon.Call(native, 1, (_error, isHeld) => isHeld || release())
  for (const [i, spec] of native.describe().inputs.entries()) {
    const { data, dims } = slowInput(spec)
    call.copyInput(i, spec.type, dims, data)
  }
  call.submit(-1, 0)
  const expected = errorOf(() => call.outputDims())
  assert.equal(expected.code, 'BUSY')

  const model = openSync(path.join(models, 'slow.onnx'))
  const stop = new AbortController()
  // The last call waits in JavaScript.
  const calls = Array.from({ length: 2 * os.availableParallelism() + 192 }, () => model.call())
  for (const each of calls) each.inputs.n[0] = 10n ** 9n
  const runs = calls.map(each => each.run({ signal: stop.signal }))
  for (const each of [calls[0], calls.at(-1)]) {
    for (const use of [() => each.runSync(), () => each.outputs.y, () => each.reshape('x', [1])])
      assert.deepEqual(errorOf(use), expected)
  }
  stop.abort()
  call.cancel()
  for (const run of runs) await assert.rejects(run, { name: 'AbortError' })
  await released
  call.close()
})

test('a deadline of a run that waits for its turn is TIMEOUT, as in the engine', async () => {
  const model = openSync(path.join(models, 'slow.onnx'))
  const inputs = Object.fromEntries(
    model.signature.inputs.map(spec => [spec.name, slowInput(spec)])
  )
  const expected = errorOf(() => model.runSync(inputs, { timeoutMs: 1 }))
  assert.equal(expected.code, 'TIMEOUT')
  assert.deepEqual(
    errorOf(() => {
      throw fail('TIMEOUT', 'the deadline passed before the run was over')
    }),
    expected
  )
  // More runs than can run at the same time, and one more, which has to wait.
  const stop = new AbortController()
  const runs = Array.from({ length: 2 * os.availableParallelism() + 192 }, () =>
    model.run(inputs, { signal: stop.signal })
  )
  const late = model.run(inputs, { timeoutMs: 5 })
  await assert.rejects(late, { code: 'TIMEOUT', family: 'channel', retryable: true })
  stop.abort()
  for (const run of runs) await assert.rejects(run, { name: 'AbortError' })
})

function slowInput({ dtype, dims }) {
  const shape = dims.map(dim => dim ?? 1)
  const length = shape.reduce((product, dim) => product * dim, 1)
  return {
    data: dtype === 'int64' ? new BigInt64Array(length).fill(10n ** 9n) : new Float32Array(length),
    dims: shape
  }
}
