// Values of records: the compiled reader, the general reader and core's setters must decide alike
// and give the same numbers.
'use strict'

const assert = require('node:assert')
const path = require('node:path')
const { test } = require('node:test')
const { openSync, SidecallError } = require('../../bindings/node')

const models = path.join(__dirname, '..', 'vectors', 'models')
const gbm = openSync(path.join(models, 'gbm.onnx'))
const names = gbm.signature.features.map(feature => feature.name)

class Row {}

// Pseudo-random numbers that are the same in every run.
function generator(seed) {
  let state = seed
  return () => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
    return state / 0x7fffffff
  }
}

const ODD = [
  0,
  -0,
  1,
  -2.5,
  NaN,
  Infinity,
  -Infinity,
  3.4028234663852886e38,
  -3.4028234663852886e38,
  3.4028235677973366e38, // rounds to infinity
  3.4028235677973362e38, // rounds to the largest float32
  1e39,
  5e-324,
  1e-46,
  Number.MAX_VALUE,
  2 ** 53,
  2 ** 53 + 2,
  null,
  undefined,
  true,
  false,
  '1',
  '',
  10n,
  2n ** 63n,
  -(2n ** 63n) - 1n,
  2n ** 2000n,
  [1],
  {},
  Symbol('s'),
  () => 1
]

function outcome(record) {
  try {
    return gbm.predictSync(record)
  } catch (error) {
    assert(error instanceof SidecallError, error)
    return { code: error.code, message: error.message, faults: error.faults }
  }
}

test('every way to pass a record accepts and refuses the same values', () => {
  const random = generator(7)
  for (let round = 0; round < 400; ++round) {
    const record = Object.fromEntries(names.map(name => [name, random() * 4 - 2]))
    const odd = round % 5 === 0 ? 0 : 1 + Math.floor(random() * 3)
    for (let i = 0; i < odd; ++i)
      record[names[1 + Math.floor(random() * 29)]] = ODD[Math.floor(random() * ODD.length)]
    if (round % 7 === 0) record.unknown = 1
    if (round % 11 === 0) delete record[names[4]]
    record[names[0]] = 3
    const quick = outcome(record)
    const general = outcome(Object.assign(new Row(), record))
    const setters = outcome({ ...record, [names[0]]: 3n })
    const reversed = outcome(Object.fromEntries(Object.entries(record).reverse()))
    assert.deepStrictEqual(general, quick)
    assert.deepStrictEqual(setters, quick)
    assert.deepStrictEqual(reversed, quick)
    assert.deepStrictEqual(outcome(record), quick)
  }
})

test('a list of records gets the answers of its single records, or all of their faults', () => {
  const random = generator(3)
  const records = Array.from({ length: 20 }, () =>
    Object.fromEntries(names.map(name => [name, random() * 4 - 2]))
  )
  const each = records.map(record => gbm.predictSync(record))
  assert.deepStrictEqual(gbm.predictSync(records), each)
  assert.deepStrictEqual(
    gbm.predictSync(records.map(record => Object.assign(new Row(), record))),
    each
  )
  records[7][names[3]] = '1'
  records[9][names[2]] = null
  assert.throws(
    () => gbm.predictSync(records),
    error => {
      assert.deepStrictEqual(
        error.faults.map(({ row, name, code }) => [row, name, code]),
        [
          [7, names[3], 'DTYPE_MISMATCH'],
          [9, names[2], 'MISSING_VALUE']
        ]
      )
      return true
    }
  )
})

test('own enumerable keys are the features, whatever their names are', () => {
  const record = Object.fromEntries(names.map((name, i) => [name, i / 10]))
  const expected = gbm.predictSync(record)
  assert.deepStrictEqual(gbm.predictSync(Object.assign(Object.create(null), record)), expected)
  const hidden = Object.defineProperty({ ...record }, 'hidden', { value: 1, enumerable: false })
  assert.deepStrictEqual(gbm.predictSync(hidden), expected)
  assert.deepStrictEqual(gbm.predictSync({ ...record, [Symbol('ours')]: 1 }), expected)
  const parsed = JSON.parse(JSON.stringify(record).replace('{', '{"__proto__": 1, '))
  assert.throws(() => gbm.predictSync(parsed), { code: 'UNKNOWN_NAME', feature: '__proto__' })
  const { [names[0]]: _, ...rest } = record
  assert.throws(() => gbm.predictSync(Object.setPrototypeOf(rest, { [names[0]]: 1 })), {
    code: 'MISSING_VALUE',
    feature: names[0]
  })
  const unseen = Object.defineProperty({ ...rest }, names[0], { value: 1, enumerable: false })
  assert.throws(() => gbm.predictSync(unseen), { code: 'MISSING_VALUE', feature: names[0] })
  assert.throws(
    () => gbm.predictSync(Object.assign(unseen, { other: 1 })),
    error => error.faults.length === 2
  )
  // A property on Object.prototype, as in a process whose prototypes were polluted.
  Object.prototype[names[0]] = 1
  try {
    assert.throws(() => gbm.predictSync(rest), { code: 'MISSING_VALUE', feature: names[0] })
    assert.deepStrictEqual(gbm.predictSync(record), expected)
  } finally {
    delete Object.prototype[names[0]]
  }
  assert.deepStrictEqual(gbm.predictSync(record), expected)
})

test('values that are not records are refused', () => {
  const values = [
    1,
    'a',
    true,
    null,
    undefined,
    Symbol('a'),
    1n,
    () => 1,
    [[]],
    new Map(),
    new Set(),
    new Date(0),
    /a/,
    new Float32Array(30)
  ]
  for (const value of [...values, new ArrayBuffer(1), new Number(1), Promise.resolve()]) {
    const list = Array.isArray(value) ? value : [value]
    assert.throws(() => gbm.predictSync(list), { code: 'DTYPE_MISMATCH' })
    if (!Array.isArray(value))
      assert.throws(() => gbm.predictSync(value), { code: 'DTYPE_MISMATCH' })
  }
  assert.throws(() => gbm.predictSync([]), { code: 'SHAPE_MISMATCH' })
})

test('getters may throw, run the same model, and close it', () => {
  const model = openSync(path.join(models, 'gbm.onnx'))
  const record = Object.fromEntries(names.map((name, i) => [name, i / 10]))
  const other = Object.fromEntries(names.map((name, i) => [name, -i / 10]))
  const expected = model.predictSync(record)
  const with_ = get =>
    Object.defineProperty({ ...record }, names[20], { get, enumerable: true, configurable: true })
  assert.throws(
    () =>
      model.predictSync(
        with_(() => {
          throw new RangeError('mine')
        })
      ),
    { name: 'RangeError', message: 'mine' }
  )
  let inner
  const reentering = with_(() => {
    inner = model.predictSync(other)
    model.runSync({ X: new Float32Array(30) })
    return 2
  })
  assert.deepStrictEqual(model.predictSync(reentering), expected)
  assert.deepStrictEqual(inner, model.predictSync(other))
  const closing = with_(() => {
    model.close()
    return 2
  })
  assert.throws(() => model.predictSync(closing), {
    code: 'INVALID_ARGUMENT',
    message: 'the model is closed'
  })
  assert.throws(() => model.predictSync(record), {
    code: 'INVALID_ARGUMENT',
    message: 'the model is closed'
  })
})

test('a proxy is read like an object', () => {
  const record = Object.fromEntries(names.map((name, i) => [name, i / 10]))
  assert.deepStrictEqual(gbm.predictSync(new Proxy(record, {})), gbm.predictSync(record))
  const hostile = new Proxy(record, {
    ownKeys() {
      throw new Error('no keys')
    }
  })
  assert.throws(() => gbm.predictSync(hostile), { message: 'no keys' })
  assert.deepStrictEqual(gbm.predictSync(record), gbm.predictSync({ ...record }))
})
