// Views are copies if external ArrayBuffers are not allowed, as in Electron. The tests that are
// listed below must pass in this mode too. SIDECALL_NODE_COPIES=1 selects this mode.
'use strict'

const assert = require('node:assert/strict')
const { spawn } = require('node:child_process')
const path = require('node:path')
const test = require('node:test')

const { runScript } = require('./support/process.js')

const COPIES = { SIDECALL_NODE_COPIES: '1' }

/** The output of `node --test` for these files, in a process of its own. */
function runTests(names) {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  const files = names.map(name => path.join(__dirname, `${name}.test.js`))
  return new Promise((resolve, reject) => {
    const child = spawn(
      process.execPath,
      ['--expose-gc', '--test', '--test-reporter=spec', ...files],
      { env: { ...env, ...COPIES } }
    )
    let text = ''
    child.stdout.setEncoding('utf8').on('data', part => {
      text += part
    })
    child.on('error', reject)
    child.on('close', code => resolve({ code, text }))
  })
}

test('SIDECALL_NODE_COPIES=1 makes arrays copies', async () => {
  const body = `
    const call = sidecall.openSync(slow.source).call()
    const { buffer } = call.inputs.x
    structuredClone(buffer, { transfer: [buffer] })
    console.log(buffer.byteLength)`
  // JavaScript's own memory can be transferred, the engine's memory cannot.
  assert.deepEqual(await runScript(body, { env: COPIES }), {
    code: 0,
    signal: null,
    out: '0\n',
    err: ''
  })
})

for (const names of [
  ['vectors'],
  ['views', 'buffers', 'calls'],
  ['abort'],
  ['loop', 'values', 'records']
]) {
  test(`with copies: ${names.join(', ')}`, async () => {
    const { code, text } = await runTests(names)
    assert.equal(code, 0, text.slice(text.indexOf('failing tests:')))
    assert.match(text, /pass \d{1,}/)
  })
}
