// A worker with an opened model that starts runs when it is told to; it is terminated then.
'use strict'

const { parentPort, workerData } = require('node:worker_threads')

const { open } = require(workerData.package)

open(workerData.address).then(model => {
  parentPort.on('message', () => {
    for (let i = 0; i < 3; ++i)
      model.run({ x: Float32Array.of(i), n: { data: BigInt64Array.of(0n), dims: [] } })
    parentPort.postMessage('running')
  })
  parentPort.postMessage('open')
})
