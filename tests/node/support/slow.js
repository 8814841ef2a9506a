// A model that takes as long as requested and returns |x|. The engine can be interrupted between
// its rounds. Used when runs must overlap.
'use strict'

const { modelBytes } = require('./onnx.js')

const WIDTH = 10_000
const ROUNDS_PER_MS = 150 // approximate; no test depends on it

const body = {
  nodes: [
    { op: 'Identity', inputs: ['go'], outputs: ['go_on'] },
    { op: 'Neg', inputs: ['before'], outputs: ['negative'] },
    { op: 'Abs', inputs: ['negative'], outputs: ['after'] }
  ],
  inputs: [
    { name: 'round', dtype: 'int64', dims: [] },
    { name: 'go', dtype: 'bool', dims: [] },
    { name: 'before', dtype: 'float32', dims: ['N'] }
  ],
  outputs: [
    { name: 'go_on', dtype: 'bool', dims: [] },
    { name: 'after', dtype: 'float32', dims: ['N'] }
  ]
}

/** The bytes of the model. */
const source = modelBytes({
  nodes: [{ op: 'Loop', inputs: ['n', '', 'x'], outputs: ['y'], body: { graph: body } }],
  inputs: [
    { name: 'x', dtype: 'float32', dims: ['N'] },
    { name: 'n', dtype: 'int64', dims: [] }
  ],
  outputs: [{ name: 'y', dtype: 'float32', dims: ['N'] }]
})

/** The inputs of a run of roughly `ms` milliseconds. */
function inputsFor(ms, x = new Float32Array(WIDTH).fill(0.5)) {
  return { x, n: { data: BigInt64Array.of(BigInt(Math.round(ms * ROUNDS_PER_MS))), dims: [] } }
}

/**
 * Begins `count` runs of roughly `ms` milliseconds, and aborts them when the event loop has turned
 * a few times after `isBegun(runs)`. Returns how many were aborted: a run that takes place on the
 * event loop cannot be.
 */
async function numAborted(model, count, ms, isBegun = () => {}) {
  const controller = new AbortController()
  const runs = Array.from({ length: count }, () =>
    model.run(inputsFor(ms), { signal: controller.signal })
  )
  const outcomes = Promise.allSettled(runs)
  await isBegun(runs)
  for (let i = 0; i < 3; ++i) await new Promise(resolve => setImmediate(resolve))
  controller.abort()
  return (await outcomes).filter(({ reason }) => reason?.name === 'AbortError').length
}

module.exports = { inputsFor, numAborted, source, WIDTH }
