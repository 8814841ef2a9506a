// Arguments of a wrong type throw TypeErrors. Closed or busy objects and wrong tensors throw
// SidecallErrors. No operation is left half done.
'use strict'

const assert = require('node:assert/strict')
const path = require('node:path')
const test = require('node:test')
const { pathToFileURL } = require('node:url')

const { engine, open, openSync, SidecallError } = require('../../bindings/node')
const { modelPath } = require('./support/paths.js')

const NOT_OBJECTS = [null, 1, 'x', true, 1n, Symbol('s'), [], () => {}]
const add = openSync(modelPath('add.onnx'))
const x = Float32Array.of(1, 2)

/** Both functions fail alike: the synchronous one throws, the asynchronous one rejects. */
async function bothThrow(sync, async, expected) {
  assert.throws(sync, expected)
  await assert.rejects(async, expected)
}

async function closedEverywhere(model, call) {
  const expected = { name: 'SidecallError', code: 'INVALID_ARGUMENT' }
  await bothThrow(
    () => model.runSync({ x }),
    async () => model.run({ x }),
    expected
  )
  await bothThrow(
    () => model.predictSync({}),
    async () => model.predict({}),
    expected
  )
  assert.throws(() => model.call(), expected)
  await bothThrow(
    () => call.runSync(),
    async () => call.run(),
    expected
  )
  assert.throws(() => call.reshape('x', [1, 2]), expected)
}

test('a value that is not a source is refused', async () => {
  for (const source of [
    undefined,
    null,
    1,
    true,
    {},
    [],
    Symbol('s'),
    () => {},
    new ArrayBuffer(4),
    new Float32Array(1),
    new DataView(new ArrayBuffer(1))
  ]) {
    await bothThrow(
      () => openSync(source),
      async () => open(source),
      TypeError
    )
  }
  await bothThrow(
    () => openSync('a\0b'),
    async () => open('a\0b'),
    TypeError
  )
  await bothThrow(
    () => openSync(''),
    async () => open(''),
    { code: 'INVALID_ARGUMENT' }
  )
  for (const url of ['https://example.org/m.onnx', 'shm:none-of-that-name']) {
    await bothThrow(
      () => openSync(url),
      async () => open(url),
      SidecallError
    )
  }
  await bothThrow(
    () => openSync(new URL('https://example.org/m.onnx')),
    async () => open(new URL('https://example.org/m.onnx')),
    SidecallError
  )
})

test('a path, a URL and bytes are accepted as sources', async () => {
  const file = modelPath('add.onnx')
  const bytes = require('node:fs').readFileSync(file)
  const view = new Uint8Array(new SharedArrayBuffer(bytes.length))
  view.set(bytes)
  for (const source of [
    file,
    path.relative(process.cwd(), file),
    pathToFileURL(file),
    pathToFileURL(file).href,
    bytes,
    new Uint8Array(bytes),
    view
  ]) {
    for (const model of [openSync(source), await open(source)])
      assert.equal(model.runSync({ x }).y.length, 2)
  }
})

test('wrong options are refused', async () => {
  const file = modelPath('add.onnx')
  const wrong = [
    ...NOT_OBJECTS,
    { verify: 'maybe' }, { verify: true }, { extra: 1 }, { timeoutMs: '5' }, { waitMs: null }, { allowExec: 'yes' }, { onnxruntime: 1 }, { engine: 'fast' }, { engine: 1 }, { timeout: 5 }, { Verify: 'off' }
  ] // biome-ignore format: one table
  for (const options of wrong)
    await bothThrow(
      () => openSync(file, options),
      async () => open(file, options),
      TypeError
    )
  assert.throws(() => openSync(file, { signal: new AbortController().signal }), TypeError)
  for (const options of [
    ...NOT_OBJECTS,
    { timeoutMs: '1' },
    { timeoutMs: null },
    { timeout: 1 },
    { timeoutMs: 1n }
  ]) {
    await bothThrow(
      () => add.runSync({ x }, options),
      async () => add.run({ x }, options),
      TypeError
    )
    await bothThrow(
      () => add.call().runSync(options),
      async () => add.call().run(options),
      TypeError
    )
  }
  assert.throws(() => add.runSync({ x }, { signal: new AbortController().signal }), TypeError)
  for (const timeoutMs of [0, -1, Number.NaN, Number.NEGATIVE_INFINITY]) {
    await bothThrow(
      () => add.runSync({ x }, { timeoutMs }),
      async () => add.run({ x }, { timeoutMs }),
      {
        code: 'INVALID_ARGUMENT',
        message: `options.timeoutMs: expected more than 0, got ${timeoutMs}`
      }
    )
    await bothThrow(
      () => openSync(file, { timeoutMs }),
      async () => open(file, { timeoutMs }),
      {
        code: 'INVALID_ARGUMENT',
        message: `options.timeoutMs: expected more than 0, got ${timeoutMs}`
      }
    )
  }
  assert.throws(() => openSync(file, { waitMs: -1 }), {
    message: 'options.waitMs: expected 0 or more, got -1'
  })
  assert.equal(add.runSync({ x }, undefined).y.length, 2)
  assert.equal(openSync(file, {}).runSync({ x }, {}).y.length, 2)
})

test('the error of a wrong option names the option, the legal values and what it got', async () => {
  const file = modelPath('add.onnx')
  for (const [options, message] of [
    [{ verify: 'of' }, "options.verify: expected 'error', 'warn' or 'off', got 'of'"],
    [{ verify: true }, "options.verify: expected 'error', 'warn' or 'off', got boolean"],
    [{ extra: 'drop' }, "options.extra: expected 'error' or 'ignore', got 'drop'"],
    [{ waitMs: null }, 'options.waitMs: expected a number of milliseconds, got null'],
    [{ engine: 'fast' }, "options.engine: expected 'auto', 'native' or 'onnxruntime', got 'fast'"],
    [{ allowExec: 1 }, 'options.allowExec: expected a boolean, got number'],
    [{ onnxruntime: [] }, 'options.onnxruntime: expected a path, got array']
  ])
    assert.throws(() => openSync(file, options), { name: 'TypeError', message })
  for (const [rows, got] of [
    ['1', 'string'],
    [1.5, 'a number that is not whole'],
    [2 ** 60, 'a number beyond 2^53']
  ])
    assert.throws(() => add.call({ rows }), {
      name: 'TypeError',
      message: `options.rows: expected a whole number, got ${got}`
    })
  assert.throws(() => add.call().reshape('x', [1.5, 2]), {
    message: 'dims: expected whole numbers, got a number that is not whole'
  })
  assert.throws(() => add.runSync({ x: { data: x, dims: [-1, 2] } }), {
    message: "input 'x': dims: expected whole numbers of 0 or more, got a negative number"
  })
})

test('values that are not records or inputs are refused', async () => {
  const model = openSync(modelPath('matrix.onnx'))
  for (const record of [undefined, null, 1, 'x', true, 1n, Symbol('s'), () => {}]) {
    const expected = error => error instanceof TypeError || error.code === 'DTYPE_MISMATCH'
    await bothThrow(
      () => model.predictSync(record),
      async () => model.predict(record),
      expected
    )
  }
  for (const inputs of [undefined, ...NOT_OBJECTS, new Float32Array(2)]) {
    await bothThrow(
      () => add.runSync(inputs),
      async () => add.run(inputs),
      error => error instanceof TypeError || error instanceof SidecallError
    )
  }
})

test('every method of a closed model fails with INVALID_ARGUMENT', async () => {
  const model = openSync(modelPath('add.onnx'))
  const call = model.call()
  const { name, version, id, signature, contract, warning } = model
  model.close()
  model.close()
  call.close()
  call.close()
  await closedEverywhere(model, call)
  assert.deepEqual(
    [model.name, model.version, model.id, model.contract, model.warning],
    [name, version, id, contract, warning]
  )
  assert.equal(model.signature, signature)
})

test('a model that its own arguments close fails with INVALID_ARGUMENT', async () => {
  const closed = { name: 'SidecallError', code: 'INVALID_ARGUMENT', message: 'the model is closed' }
  const attempts = [
    model => ['runSync', { x }, optionsClosing(model)],
    model => ['run', { x }, optionsClosing(model)],
    model => ['predictSync', {}, optionsClosing(model)],
    model => ['predict', {}, optionsClosing(model)],
    model => ['runSync', new Proxy({ zz: 1 }, { get: () => model.close() ?? 1 })],
    model => ['run', new Proxy({ zz: 1 }, { get: () => model.close() ?? 1 })],
    model => ['predictSync', new Proxy([], { get: () => model.close() ?? 0 })],
    model => [
      'call',
      Object.defineProperty({}, 'rows', { get: () => model.close() ?? 1, enumerable: true })
    ]
  ]
  for (const attempt of attempts) {
    const model = openSync(modelPath('add.onnx'))
    const [method, ...args] = attempt(model)
    await assert.rejects(async () => model[method](...args), closed)
  }
})

function optionsClosing(model) {
  return Object.defineProperty({}, 'timeoutMs', { get: () => model.close() ?? 5, enumerable: true })
}

test('the declaration `using` closes models and calls', () => {
  // Node has had the symbol under this name since 18.18; older versions have nothing to test.
  if (typeof Symbol.dispose !== 'symbol') return
  const model = openSync(modelPath('add.onnx'))
  const call = model.call()
  call[Symbol.dispose]()
  model[Symbol.dispose]()
  assert.throws(() => call.runSync(), { code: 'INVALID_ARGUMENT' })
  assert.throws(() => model.runSync({ x }), { code: 'INVALID_ARGUMENT' })
})

test('methods that are detached from their object throw a TypeError', async () => {
  const { runSync, run, predictSync, call, close } = add
  for (const method of [runSync, predictSync, call, close]) {
    for (const self of [undefined, {}, Object.create(add), 1])
      assert.throws(() => method.call(self, { x }), TypeError)
  }
  await assert.rejects(async () => run.call({}, { x }), TypeError)
  const own = add.call()
  assert.throws(() => own.runSync.call({}), TypeError)
  assert.throws(() => new add.constructor(), TypeError)
  assert.throws(() => new own.constructor(), TypeError)
  assert.throws(() => new add.constructor({}), TypeError)
  assert.equal(add.runSync({ x }).y.length, 2)
})

test('signature and contract are plain frozen objects', () => {
  const model = openSync(modelPath('penguins.onnx'))
  for (const part of [
    model.signature,
    model.signature.inputs,
    model.signature.inputs[0],
    model.signature.features[0],
    model.signature.columns[0],
    model.contract,
    model.contract.features[0]
  ]) {
    assert.ok(Object.isFrozen(part))
  }
  assert.equal(model.contract.model.name, model.name)
  assert.deepEqual(
    model.signature.features.map(({ name }) => name),
    model.contract.features.map(({ name }) => name)
  )
  assert.deepEqual(structuredClone(model.signature), model.signature)
  assert.deepEqual(model.signature.columns.map(({ name }) => name).slice(0, 2), [
    'label',
    'probabilities.Adelie'
  ])
  assert.equal(add.contract, null)
  assert.deepEqual(add.signature.inputs, [
    { name: 'x', dtype: 'float32', dims: [null, 2], dimNames: ['N', null] }
  ])
  assert.deepEqual(add.signature.features, [])
  for (const id of [model.id, add.id]) assert.match(id, /^[0-9a-f]{64}$/)
  assert.throws(() => {
    'use strict'
    model.name = 'other'
  }, TypeError)
  assert.equal(typeof engine, 'function')
})
