// The same package over HTTP and gRPC: tests/vectors on served models; servers that hang or end.
'use strict'

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')

const { open } = require('../../../bindings/node')
const { modelPath, temporaryFolder } = require('../support/paths.js')
const { serveNetwork, stop } = require('../support/server.js')
const slow = require('../support/slow.js')
const { casesByFile, runCase } = require('../support/vector_runner.js')

const WAIT = { waitMs: 20_000 }
const PROTOCOLS = ['http', 'grpc']
// The Open Inference Protocol has no names for dimensions, and no way to say that an output has no
// known shape.
const NOT_OVER_NETWORK =
  /^shapes\/(unshaped|two_inputs_rows_differ|matmul_inner_differs)|bfloat16|float8|int4|rows_differ/

/** The case without the expected text, which names dimensions. The status is still compared. */
const withoutText = one => ({ ...one, expect_error: undefined })

test('every shared case gives the same outcome over the network', {
  concurrency: 3
}, async context => {
  const files = [...casesByFile()]
  let count = 0
  const runs = files.map(([file, those]) =>
    context.test(file, async () => {
      const server = serveNetwork(modelPath(file))
      const openers = PROTOCOLS.map(
        protocol =>
          ({ open: options }) =>
            open(server.at[protocol], { ...WAIT, ...options })
      )
      try {
        for (const one of those) {
          if (NOT_OVER_NETWORK.test(one.name)) continue
          await runCase(withoutText(one), openers)
          ++count
        }
      } finally {
        await server.stop()
      }
    })
  )
  await Promise.all(runs)
  assert.ok(count >= 200, `${count} cases`)
})

/** Passes to `use` a model of slow.onnx over each protocol, and its server. */
function withEach(name, use) {
  for (const protocol of PROTOCOLS) {
    test(`${name} [${protocol}]`, async () => {
      const file = path.join(temporaryFolder(), 'slow.onnx')
      fs.writeFileSync(file, slow.source)
      const server = serveNetwork(file)
      try {
        const model = await open(server.at[protocol], WAIT)
        await use(model, server)
        model.close()
      } finally {
        server.child.kill('SIGCONT')
        await server.stop()
      }
    })
  }
}

const give = value => slow.inputsFor(0, Float32Array.of(value))
const LONG = slow.inputsFor(60_000)

withEach('many runs are under way at once, and each gets its own answer', async model => {
  const answers = await Promise.all(Array.from({ length: 300 }, (_, i) => model.run(give(i))))
  assert.deepEqual(
    answers.map(({ y }) => y[0]),
    answers.map((_, i) => i)
  )
})

withEach('a short run does not execute on the event loop', async (model, { child }) => {
  for (let i = 0; i < 100; ++i) await model.run(give(i))
  stop(child)
  let ticks = 0
  const timer = setInterval(() => ++ticks, 1)
  const runs = Array.from({ length: 20 }, (_, i) => model.run(give(i), { timeoutMs: 200 }))
  for (const { reason } of await Promise.allSettled(runs)) assert.equal(reason.code, 'TIMEOUT')
  clearInterval(timer)
  assert.ok(ticks >= 5, `${ticks} ticks`)
  child.kill('SIGCONT')
  assert.equal((await model.run(give(7))).y[0], 7)
})

withEach('an abort and a deadline end a run, and the model stays usable', async model => {
  const controller = new AbortController()
  const run = model.run(LONG, { signal: controller.signal })
  controller.abort('enough')
  await assert.rejects(run, error => error === 'enough')
  await assert.rejects(model.run(LONG, { timeoutMs: 20 }), { code: 'TIMEOUT' })
  assert.equal((await model.run(give(7))).y[0], 7)
})

withEach('a run whose server is killed fails', async (model, { kill }) => {
  const run = assert.rejects(model.run(LONG), { retryable: true })
  await new Promise(resolve => setTimeout(resolve, 50))
  await kill()
  await run
})

withEach('a closed model does not lose the runs that are under way', async model => {
  const runs = Array.from({ length: 10 }, (_, i) => model.run(give(i)))
  model.close()
  for (const [i, { y }] of (await Promise.all(runs)).entries()) assert.equal(y[0], i)
  await assert.rejects(model.run(give(1)), { code: 'INVALID_ARGUMENT' })
})
