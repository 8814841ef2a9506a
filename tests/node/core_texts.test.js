// The few errors that the JavaScript side makes itself say what core says of the same mistake, and mean the same.
'use strict'

const assert = require('node:assert/strict')
const os = require('node:os')
const path = require('node:path')
const { test } = require('node:test')
const { openSync } = require('../../bindings/node')
const { addon } = require('../../bindings/node/lib/addon.js')
const { fail } = require('../../bindings/node/lib/errors.js')

const models = path.join(__dirname, '..', 'vectors', 'models')
const OPTIONS = { verify: 0, extra: 0, allowExec: 0, timeoutNs: -1, waitNs: 0 }

function errorOf(run) {
  try {
    run()
  } catch (error) {
    const { message, code, family, retryable } = error
    return { message, code, family, retryable }
  }
  return null
}

test('outputs before a run', () => {
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

test('a deadline that passes in a queue, and one that passes in the engine', async () => {
  const model = openSync(path.join(models, 'slow.onnx'))
  const inputs = Object.fromEntries(model.signature.inputs.map(spec => [spec.name, slowInput(spec)]))
  const expected = errorOf(() => model.runSync(inputs, { timeoutMs: 1 }))
  assert.equal(expected.code, 'TIMEOUT')
  assert.deepEqual(
    errorOf(() => {
      throw fail('TIMEOUT', 'the deadline passed before the run was over')
    }),
    expected
  )
  // As many as are started at once, and one more that waits for its turn.
  const stop = new AbortController()
  const runs = Array.from({ length: 2 * os.availableParallelism() + 64 }, () => model.run(inputs, { signal: stop.signal }))
  const late = model.run(inputs, { timeoutMs: 5 })
  await assert.rejects(late, expected)
  stop.abort()
  for (const run of runs) await assert.rejects(run, { name: 'AbortError' })
})

function slowInput({ dtype, dims }) {
  const shape = dims.map(dim => dim ?? 1)
  const length = shape.reduce((product, dim) => product * dim, 1)
  return { data: dtype === 'int64' ? new BigInt64Array(length).fill(10n ** 9n) : new Float32Array(length), dims: shape }
}
