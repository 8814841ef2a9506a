// fault_client.js ADDRESS CALLS TIMEOUT_MS [sync]: like fault_client.c, with asynchronous calls;
// with "sync", with synchronous calls.
const { setTimeout: sleep } = require('node:timers/promises')
const { open } = require('../../bindings/node')

async function main(address, calls, timeoutMs, way) {
  const model = await open(address)
  const call = model.call({ rows: 2 })
  console.log('open OK')
  for (let number = 0; number < calls; number++) {
    const x = call.inputs.X
    for (let i = 0; i < 8; i++) x[i] = number + i
    let outcome = 'OK'
    try {
      if (way === 'sync') call.runSync({ timeoutMs })
      else await call.run({ timeoutMs })
      const y = call.outputs.Y
      for (let i = 0; i < 8; i++) if (y[i] !== 2 * (number + i)) outcome = 'WRONG'
    } catch (error) {
      if (!error.code) throw error
      outcome = error.code
    }
    // After a timeout a call stays busy until the server releases its memory, which may take longer
    // than the pause.
    if (outcome === 'BUSY') {
      await sleep(2)
      --number
      continue
    }
    console.log(`${number} ${outcome}`)
    // The next server may take some time to start.
    await sleep(outcome === 'UNREACHABLE' ? 50 : 2)
  }
  model.close()
}

const [address, calls, timeoutMs, way] = process.argv.slice(2)
main(address, Number(calls), Number(timeoutMs), way).catch(error => {
  console.log(`open ${error.code ?? error}`)
  process.exitCode = 1
})
