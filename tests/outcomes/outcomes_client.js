// outcomes_client.js URI MODE ASKED...: like outcomes_client.c.
const { setTimeout: sleep } = require('node:timers/promises')
const { open } = require('../../bindings/node')

const LONG = 10000
const SHORT = 20
const MOMENT = 10

const WAIT = 1000 // as in outcomes_server.c

// The input of the server is `asked`. The model file has `x` and `n`, a number of rounds.
function inputsOf(model, asked) {
  if (model.signature.inputs[0].name === 'asked') return { asked: BigInt64Array.of(BigInt(asked)) }
  const rounds = BigInt64Array.of(asked === WAIT ? 1000000000n : 0n)
  return { x: new Float32Array(1), n: { data: rounds, dims: [] } }
}

async function call(model, mode, asked) {
  const timeoutMs = mode.startsWith('timed-out') ? SHORT : LONG
  if (mode === 'synchronous' || mode === 'timed-out')
    return model.runSync(inputsOf(model, asked), { timeoutMs })
  const controller = new AbortController()
  const run = model.run(inputsOf(model, asked), { timeoutMs, signal: controller.signal })
  if (mode === 'cancelled' || mode === 'abandoned') {
    run.catch(() => {})
    await sleep(MOMENT)
    controller.abort()
  }
  if (mode !== 'abandoned') return run
  return model.run(inputsOf(model, 0), { timeoutMs: LONG })
}

async function main([uri, mode, ...asked]) {
  const model = await open(uri, { allowExec: true, waitMs: LONG })
  for (const each of asked) {
    let outcome = 'OK'
    try {
      await call(model, mode, Number(each))
    } catch (error) {
      outcome = error.name === 'AbortError' ? 'CANCELLED' : error.code
    }
    console.log(outcome)
  }
  model.close()
}

main(process.argv.slice(2))
