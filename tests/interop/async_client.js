// async_client.js ADDRESS TIMEOUT_MS: waits for a line on stdin, calls the toy server in each
// asynchronous way and prints [way, outcome, milliseconds] as JSON.
'use strict'

const { once } = require('node:events')
const { open } = require('../../bindings/node')

async function main(address, timeoutMs) {
  const model = await open(address)
  const call = model.call()
  call.inputs.x.set([1, 2])
  call.inputs.text = ['a']
  const inputs = { x: Float32Array.of(1, 2), text: ['a'] }
  const ways = {
    run: () => model.run(inputs, { timeoutMs }),
    'call.run': () => call.run({ timeoutMs })
  }
  console.log('ready')
  await once(process.stdin, 'data')
  const outcomes = Object.entries(ways).map(async ([way, ask]) => {
    const start = performance.now()
    const outcome = await ask().then(
      () => 'OK',
      error => error.code ?? String(error)
    )
    return [way, outcome, performance.now() - start]
  })
  console.log(JSON.stringify(await Promise.all(outcomes)))
  process.exit(0)
}

main(process.argv[2], Number(process.argv[3]))
