// Replacing an open model under load, as docs/node.md describes.
'use strict'

const assert = require('node:assert/strict')
const test = require('node:test')
const { setImmediate: nextTurn } = require('node:timers/promises')

const { open } = require('../../../bindings/node')
const slow = require('../support/slow.js')
const { modelPath } = require('../support/paths.js')

const record = { island: 'Biscoe', bill_length_mm: 48.2 }

/**
 * Opens a model with `start`, lets eight clients call `ask(model)` all the time, and replaces the
 * model six times. Returns the number of answers.
 */
async function reloadUnderLoad(start, ask) {
  let current = await start()
  let isDone = false
  let numAnswers = 0
  const clients = Array.from({ length: 8 }, async () => {
    while (!isDone) {
      await ask(current)
      numAnswers += 1
      await nextTurn()
    }
  })
  for (let i = 0; i < 6; i++) {
    const next = await start()
    const previous = current
    current = next
    previous.close()
    await nextTurn()
  }
  isDone = true
  await Promise.all(clients)
  current.close()
  return numAnswers
}

test('no request is lost while six reloads replace a model of records', async () => {
  const numAnswers = await reloadUnderLoad(
    () => open(modelPath('penguins.onnx')),
    async model => {
      assert.equal(model.predictSync(record).label, 'Gentoo')
      assert.equal((await model.predict(record)).label, 'Gentoo')
    }
  )
  assert.ok(numAnswers >= 8, `${numAnswers} answers`)
})

test('no request is lost while six reloads replace a model whose runs are under way', async () => {
  const x = Float32Array.of(1, 2, 3)
  const numAnswers = await reloadUnderLoad(
    () => open(slow.source),
    async model => assert.deepEqual([...(await model.run(slow.inputsFor(2, x))).y], [1, 2, 3])
  )
  assert.ok(numAnswers >= 8, `${numAnswers} answers`)
})
