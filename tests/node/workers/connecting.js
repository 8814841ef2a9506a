// A worker with an open model that starts runs on request, and is then terminated. Started by
// stopped_server.test.js.
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
