// Every status of the C header has a name, a family and a type here. Errors contain what an HTTP
// 400 response needs.
'use strict'

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')
const { inspect } = require('node:util')

const { engine, open, openSync, SidecallError } = require('../../bindings/node')
const { assertForm } = require('./support/compare.js')
const { modelPath, packageFolder, temporaryFolder } = require('./support/paths.js')
const { runScript } = require('./support/process.js')
const slow = require('./support/slow.js')
const { statuses } = require('./support/statuses.js')

const declarations = fs.readFileSync(path.join(packageFolder, 'index.d.ts'), 'utf8')

function unionOf(name) {
  const [, body] = new RegExp(`export type ${name} =([^/]*?)\\n\\n`).exec(declarations)
  return new Set([...body.matchAll(/'(\w+)'/g)].map(([, member]) => member))
}

const FAMILY_OF = {
  1: 'usage',
  2: 'file',
  3: 'model',
  4: 'data',
  5: 'channel',
  6: 'engine',
  9: 'internal'
}

test('ErrorCode of index.d.ts is exactly the statuses of sidecall.h', () => {
  assert.ok(statuses.size >= 35)
  assert.deepEqual([...unionOf('ErrorCode')].sort(), [...statuses.keys()].sort())
  assert.deepEqual([...unionOf('ErrorFamily')].sort(), Object.values(FAMILY_OF).sort())
})

test('Dtype of index.d.ts is exactly the element types of sidecall.h', () => {
  const header = fs.readFileSync(
    path.join(packageFolder, '..', '..', 'include', 'sidecall', 'sidecall.h'),
    'utf8'
  )
  const names = [...header.matchAll(/#define SIDECALL_(DTYPE_(\w+)) \d+/g)]
    .filter(([, name]) => !statuses.has(name)) // leaves out the status DTYPE_MISMATCH
    .map(([, , name]) => name.toLowerCase())
    .filter(name => name !== 'datetime') // a type of features, not of tensors
  assert.deepEqual([...unionOf('Dtype')].sort(), names.sort())
})

// Causes each status that this process can cause. The others belong to the channel, or need a
// broken machine.
const provoked = {
  INVALID_ARGUMENT: () => openSync(''),
  BUSY: () => {
    const call = openSync(slow.source).call()
    call.inputs.n[0] = 100_000n
    const run = call.run({ timeoutMs: 200 }).catch(() => {})
    try {
      call.runSync()
    } finally {
      void run
    }
  },
  NOT_RUN: () => openSync(modelPath('add.onnx')).call().outputs.y,
  FILE_NOT_FOUND: () => openSync(modelPath('none.onnx')),
  FILE_UNREADABLE: () => openSync(modelPath('.')),
  FILE_INVALID: () => openSync(Buffer.from('no model')),
  FILE_FORBIDDEN: () => openSync(modelPath('external/parent.onnx')),
  CONTRACT_INVALID: () => openSync(modelPath('contracts/empty.onnx')),
  CONTRACT_FORMAT: () => openSync(modelPath('contracts/format_6.onnx')),
  NO_CONTRACT: () => openSync(modelPath('add.onnx')).predictSync({ x: 1 }),
  UNSUPPORTED: () => openSync('s3://bucket/model.onnx'),
  DTYPE_MISMATCH: () => openSync(modelPath('add.onnx')).runSync({ x: new Int8Array(2) }),
  SHAPE_MISMATCH: () =>
    openSync(modelPath('add.onnx')).runSync({ x: { data: new Float32Array(3), dims: [1, 3] } }),
  UNKNOWN_NAME: () => openSync(modelPath('add.onnx')).runSync({ y: new Float32Array(2) }),
  MISSING_INPUT: () => openSync(modelPath('two_inputs.onnx')).runSync({}),
  MISSING_VALUE: () => openSync(modelPath('matrix.onnx')).predictSync({}),
  UNKNOWN_CATEGORY: () =>
    openSync(modelPath('closed.onnx')).predictSync({ size: 'XL', level: 10, door: true }),
  INVALID_STRING: () => openSync(modelPath('text.onnx')).predictSync({ text: '\0' }),
  OUT_OF_RANGE: () => openSync(modelPath('floats_finite.onnx')).predictSync({ x: 1e300, n: 1 }),
  REFUSED: () => openSync(modelPath('steps.onnx')).predictSync({ a: -1, b: 1 }),
  TIMEOUT: () => openSync(slow.source).runSync(slow.inputsFor(60_000), { timeoutMs: 1 }),
  ENGINE: () => openSync(modelPath('gather.onnx')).runSync({ at: [7] }),
  ENGINE_NOT_FOUND: () => engine({ onnxruntime: '/none/libonnxruntime.so' })
}

for (const [code, provoke] of Object.entries(provoked)) {
  test(`${code} is reported as an error of that code and family`, () => {
    let failure
    try {
      provoke()
    } catch (error) {
      failure = error
    }
    assert.ok(failure instanceof SidecallError, String(failure?.stack))
    assert.equal(failure.code, code)
    assert.equal(failure.family, FAMILY_OF[Math.floor(statuses.get(code) / 10)])
    assertForm(failure, statuses)
  })
}

test('VERIFICATION_FAILED follows the option verify and the variable SIDECALL_VERIFY', async () => {
  const file = fs.readdirSync(modelPath('verification')).find(name => {
    try {
      return openSync(modelPath(`verification/${name}`)) && false
    } catch (error) {
      return error.code === 'VERIFICATION_FAILED'
    }
  })
  assert.ok(file)
  const wrong = modelPath(`verification/${file}`)
  await assert.rejects(open(wrong), {
    code: 'VERIFICATION_FAILED',
    family: 'model',
    retryable: false
  })
  assert.equal(typeof openSync(wrong, { verify: 'warn' }).warning, 'string')
  assert.equal(openSync(wrong, { verify: 'off' }).warning, null)
  const script = `try { sidecall.openSync(${JSON.stringify(wrong)}, { verify: 'error' }); console.log('opened') } catch (error) { console.log(error.code) }`
  assert.equal((await runScript(script, { env: { SIDECALL_VERIFY: 'off' } })).out, 'opened\n')
  assert.equal(
    (await runScript(script, { env: { SIDECALL_VERIFY: 'nonsense' } })).out,
    'INVALID_ARGUMENT\n'
  )
})

test('an ONNX Runtime that is missing or does not load is ENGINE_NOT_FOUND', async () => {
  const file = path.join(temporaryFolder(), 'libonnxruntime.so')
  fs.writeFileSync(file, 'no library')
  const script =
    "sidecall.open(modelPath('add.onnx')).catch(error => console.log(error.code, error.family))"
  for (const library of ['/none/libonnxruntime.so', file]) {
    const done = await runScript(script, { env: { SIDECALL_ONNXRUNTIME: library } })
    assert.deepEqual([done.code, done.out, done.err], [0, 'ENGINE_NOT_FOUND engine\n', ''])
  }
})

test('the fields of an error hold everything that its text says', () => {
  let failure
  try {
    openSync(modelPath('matrix.onnx')).predictSync([{ a: 1, b: 1, c: true, d: 1 }, { a: 'x', b: 1, c: true, d: 1 }]) // biome-ignore format: one line
  } catch (error) {
    failure = error
  }
  const { code, family, retryable, feature, row, expected, got } = failure
  assert.deepEqual(
    { code, family, retryable, feature, row, expected, got },
    {
      code: 'DTYPE_MISMATCH',
      family: 'data',
      retryable: false,
      feature: 'a',
      row: 1,
      expected: 'float32',
      got: 'string'
    }
  )
  assert.deepEqual(failure.faults, [
    {
      code: 'DTYPE_MISMATCH',
      row: 1,
      name: 'a',
      expected: 'float32',
      got: 'string',
      message: "feature 'a': expected float32, got string"
    }
  ])
  assert.match(failure.message, /^feature 'a': expected float32, got string \(row 1\)$/)
  assert.match(failure.stack, /^SidecallError: feature 'a'.*\n\s+at /s)
  assert.ok(failure.stack.includes(path.basename(__filename)), 'the stack leads to the caller')
  assert.match(inspect(failure), /code: 'DTYPE_MISMATCH'/)
  assert.ok(Object.isFrozen(failure.faults))
  assert.equal(JSON.parse(JSON.stringify(failure)).code, 'DTYPE_MISMATCH')
})

test('the fields of an error identify a value that is not a record', () => {
  const model = openSync(modelPath('penguins.onnx'))
  const fieldsOf = records => {
    try {
      model.predictSync(records)
    } catch ({ code, row, feature, expected, got, faults }) {
      assert.deepEqual([faults[0].row, faults[0].expected, faults[0].got], [row, expected, got])
      return { code, row, feature, expected, got }
    }
  }
  assert.deepEqual(fieldsOf(null), {
    code: 'DTYPE_MISMATCH',
    row: 0,
    feature: null,
    expected: 'a record',
    got: 'null'
  })
  assert.deepEqual(fieldsOf([{}, 5]), {
    code: 'DTYPE_MISMATCH',
    row: 1,
    feature: null,
    expected: 'a record',
    got: 'number'
  })
  assert.deepEqual(fieldsOf([]), {
    code: 'SHAPE_MISMATCH',
    row: null,
    feature: null,
    expected: 'at least 1 row',
    got: '0 rows'
  })
})

test('an asynchronous failure has a stack that leads to the caller or says what failed', async () => {
  await assert.rejects(openSync(modelPath('gather.onnx')).run({ at: [9] }), error =>
    /^SidecallError: /.test(error.stack)
  )
  await assert.rejects(
    open(modelPath('none.onnx')),
    error => error.stack.startsWith('SidecallError: ') && error.message.includes('none.onnx')
  )
})

test('SidecallError is an Error, works with instanceof and can be thrown again', () => {
  assert.equal(Object.getPrototypeOf(SidecallError), Error)
  assert.equal(SidecallError.name, 'SidecallError')
  let failure
  try {
    openSync('')
  } catch (error) {
    failure = error
  }
  const outer = new Error('outer', { cause: failure })
  assert.equal(outer.cause.code, 'INVALID_ARGUMENT')
  assert.equal(structuredClone(failure).message, failure.message)
})

test('engine() returns which ONNX Runtime was found', () => {
  const found = engine()
  assert.equal(found.engine, 'onnxruntime')
  assert.match(found.version, /^\d+\.\d+/)
  assert.ok(fs.existsSync(found.path))
  assert.equal(typeof found.api, 'number')
  assert.throws(() => engine({ onnxruntime: 1 }), TypeError)
  assert.throws(() => engine({ path: 'x' }), TypeError)
})

test('an exception of other code keeps no outcome from its promise', async () => {
  const { out, err, code } = await runScript(`
    process.on('uncaughtException', error => console.log(error.message))
    const model = sidecall.openSync(slow.source)
    const good = model.run(slow.inputsFor(0))
    good.then(() => process.nextTick(() => { throw new Error('of other code') }))
    const late = Array.from({ length: 3 }, () => model.run(slow.inputsFor(60_000), { timeoutMs: 20 }))
    // All outcomes are there before the event loop takes the first one.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200)
    Promise.allSettled(late).then(all => console.log(all.map(({ reason }) => reason.code).join()))
  `)
  assert.deepEqual([out, code], ['of other code\nTIMEOUT,TIMEOUT,TIMEOUT\n', 0], err)
})
