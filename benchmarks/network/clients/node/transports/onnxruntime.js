// onnxruntime-node on the same file, one thread.
'use strict'

const { onnxruntime } = require('../modules.js')

module.exports = async work => {
  if (work.kind === 'record')
    throw new Error('onnxruntime: expected a workload of tensors, got records')
  const { InferenceSession, Tensor } = onnxruntime()
  const session = await InferenceSession.create(work.model, {
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    executionMode: 'sequential'
  })
  const { name } = work.input
  const { dims } = work
  return {
    ask: i => work.tensor(i),
    call: x => session.run({ [name]: new Tensor('float32', x, dims) }),
    read: answer =>
      work.readTensors(
        Object.fromEntries(work.outputs.map(output => [output.name, answer[output.name].data]))
      ),
    close: () => session.release()
  }
}
