// Hostile JavaScript records: getters, proxies, prototypes, odd keys, odd values. The answer is
// right or a SidecallError, and the model stays usable.
'use strict'

const assert = require('node:assert/strict')
const test = require('node:test')

const { openSync, SidecallError } = require('../../bindings/node')
const { failureOf } = require('./support/failures.js')
const { classifier, echo } = require('./support/models.js')

const f32 = name => ({ name, type: 'float32' })
const pair = openSync(echo({ features: [f32('a'), f32('b')] }))

const answerOf = record => pair.predictSync(record).prediction

function assertWorks() {
  assert.deepEqual(answerOf({ a: 1, b: 2 }), [1, 2])
}

test('getters of records are read, and an error that they throw reaches the caller unchanged', async () => {
  const record = {
    a: 1,
    get b() {
      return 5
    }
  }
  assert.deepEqual(answerOf(record), [1, 5])
  assert.deepEqual((await pair.predict(record)).prediction, [1, 5])
  const mine = new Error('of the user')
  const spoilt = {
    a: 1,
    get b() {
      throw mine
    }
  }
  for (const records of [spoilt, [{ a: 1, b: 1 }, spoilt]]) {
    assert.throws(
      () => pair.predictSync(records),
      error => error === mine
    )
    await assert.rejects(
      async () => pair.predict(records),
      error => error === mine
    )
  }
  const nothing = {
    a: 1,
    get b() {
      throw undefined
    }
  }
  let thrown = 'nothing'
  try {
    pair.predictSync(nothing)
  } catch (error) {
    thrown = error
  }
  assert.equal(thrown, undefined)
  assertWorks()
})

test('a getter may close the model', async () => {
  for (const method of ['predictSync', 'predict']) {
    const model = openSync(echo({ features: [f32('a'), f32('b')] }))
    const closing = {
      get a() {
        model.close()
        globalThis.gc()
        return 1
      },
      b: 2
    }
    try {
      assert.deepEqual((await model[method](closing)).prediction, [1, 2])
    } catch (error) {
      assert.equal(error.code, 'INVALID_ARGUMENT')
    }
    assert.throws(() => model.predictSync({ a: 1, b: 2 }), { code: 'INVALID_ARGUMENT' })
  }
  assertWorks()
})

test('a getter may predict with the same model, nested deeply', async () => {
  const nest = depth => ({
    a: depth,
    get b() {
      if (depth === 0) return 0
      assert.deepEqual(answerOf(nest(depth - 1)), [depth - 1, depth - 1])
      return depth
    }
  })
  assert.deepEqual(answerOf(nest(20)), [20, 20])
  let inner
  const starting = {
    get a() {
      inner = pair.predict({ a: 8, b: 9 })
      return 1
    },
    b: 2
  }
  assert.deepEqual((await pair.predict(starting)).prediction, [1, 2])
  assert.deepEqual((await inner).prediction, [8, 9])
  assert.deepEqual(
    answerOf([starting, { a: 3, b: 4 }].map(one => ({ a: one.a, b: one.b }))[0]),
    [1, 2]
  )
})

test('a getter may change the list of records while it is read', () => {
  const records = [
    {
      get a() {
        records.length = 1
        return 1
      },
      b: 2
    },
    { a: 3, b: 4 }
  ]
  try {
    assert.deepEqual(pair.predictSync(records)[0].prediction, [1, 2])
  } catch (error) {
    assert.ok(error instanceof SidecallError, error.stack)
  }
  const growing = [
    {
      get a() {
        growing.push({ a: 5, b: 5 })
        return 1
      },
      b: 2
    }
  ]
  try {
    assert.deepEqual(pair.predictSync(growing)[0].prediction, [1, 2])
  } catch (error) {
    assert.ok(error instanceof SidecallError, error.stack)
  }
  assertWorks()
})

test('a proxy is read through its traps', async () => {
  const target = { a: 1, b: 2 }
  assert.deepEqual(answerOf(new Proxy(target, {})), [1, 2])
  assert.deepEqual(
    answerOf(new Proxy(target, { get: (_, key) => (key === 'a' ? 10 : 20) })),
    [10, 20]
  )
  const trap = () => {
    throw new RangeError('trap')
  }
  for (const name of ['get', 'ownKeys', 'getOwnPropertyDescriptor', 'has', 'getPrototypeOf']) {
    try {
      assert.deepEqual(answerOf(new Proxy(target, { [name]: trap })), [1, 2])
    } catch (error) {
      assert.equal(error.message, 'trap')
    }
  }
  const revoked = Proxy.revocable(target, {})
  revoked.revoke()
  assert.throws(() => answerOf(revoked.proxy), TypeError)
  const list = new Proxy([target, target], {})
  assert.equal(pair.predictSync(list).length, 2)
  assert.equal((await failureOf(pair, new Proxy({ ...target, c: 1 }, {}))).code, 'UNKNOWN_NAME')
  assertWorks()
})

test('only own properties of a record count', async () => {
  const inherited = Object.create({ a: 1, b: 2 })
  assert.equal((await failureOf(pair, inherited)).code, 'MISSING_VALUE')
  inherited.a = 3
  assert.deepEqual(
    (await failureOf(pair, inherited)).faults.map(({ name }) => name),
    ['b']
  )
  assert.deepEqual(answerOf(Object.assign(Object.create(null), { a: 1, b: 2 })), [1, 2])
  class Point {
    a = 1
    b = 2
    norm() {}
  }
  assert.deepEqual(answerOf(new Point()), [1, 2])
  assert.deepEqual(answerOf(Object.freeze({ a: 1, b: 2 })), [1, 2])
  Object.prototype.a = 9
  try {
    assert.equal((await failureOf(pair, { b: 2 })).code, 'MISSING_VALUE')
  } finally {
    delete Object.prototype.a
  }
})

test('features may have the names of properties of Object.prototype', async () => {
  const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOf', 'length']
  const model = openSync(echo({ features: names.map(f32) }))
  const failure = await failureOf(model, {})
  assert.equal(failure.code, 'MISSING_VALUE')
  assert.deepEqual(
    failure.faults.map(({ name }) => name),
    names
  )
  const record = JSON.parse(
    '{"__proto__": 1, "constructor": 2, "toString": 3, "hasOwnProperty": 4, "valueOf": 5, "length": 6}'
  )
  assert.deepEqual(model.predictSync(record).prediction, [1, 2, 3, 4, 5, 6])
  assert.deepEqual((await model.predict([record, record]))[1].prediction, [1, 2, 3, 4, 5, 6])
  // In an object literal, __proto__ sets the prototype and names no feature.
  const { __proto__: _, ...others } = record
  const literal = { __proto__: { a: 1 }, ...others }
  assert.deepEqual(
    (await failureOf(model, literal)).faults.map(({ name }) => name),
    ['__proto__']
  )
})

test('classes may have the names of properties of Object.prototype', () => {
  const classes = ['__proto__', 'constructor', 'toString', '', '10', '9']
  const model = openSync(classifier({ features: [f32('x')], classes }))
  for (const [i, label] of classes.entries()) {
    const answer = model.predictSync({ x: i })
    assert.equal(answer.label, label)
    for (const name of classes) {
      assert.ok(Object.hasOwn(answer.probabilities, name), name)
      assert.equal(
        Object.getOwnPropertyDescriptor(answer.probabilities, name).value,
        name === label ? 1 : 0
      )
    }
  }
  const answer = model.predictSync({ x: 0 })
  assert.equal(Object.getOwnPropertyNames(answer.probabilities).length, classes.length)
  assert.equal({}.x, undefined)
})

test('the answer of one record and that of a list have the same label', async () => {
  const classes = ['plain', '', '\u007f', 'größe', '日本', '🐧', ''.padEnd(300, 'long')]
  const model = openSync(classifier({ features: [f32('x')], classes }))
  const records = classes.map((_, i) => ({ x: i }))
  const labelsOf = answers => answers.map(answer => answer.label)
  assert.deepEqual(labelsOf(model.predictSync(records)), classes)
  assert.deepEqual(labelsOf(records.map(record => model.predictSync(record))), classes)
  assert.deepEqual(
    labelsOf(await Promise.all(records.map(record => model.predict(record)))),
    classes
  )
  // After an error, the label of an earlier answer does not appear.
  assert.throws(() => model.predictSync({ x: 'text' }), { code: 'DTYPE_MISMATCH' })
  assert.throws(() => model.predictSync({}), { code: 'MISSING_VALUE' })
  assert.equal(model.predictSync({ x: 4 }).label, '日本')
})

test("an unknown name is an error, unless the option extra is 'ignore'", async () => {
  const failure = await failureOf(pair, { a: 1, b: 2, secret: 3 })
  assert.deepEqual([failure.code, failure.feature, failure.row], ['UNKNOWN_NAME', 'secret', 0])
  for (const record of [
    JSON.parse('{"a": 1, "b": 2, "__proto__": 3}'),
    { a: 1, b: 2, '': 0 },
    { a: 1, b: 2, 0: 0 },
    { a: 1, b: 2, c: undefined }
  ]) {
    assert.equal((await failureOf(pair, record)).code, 'UNKNOWN_NAME')
  }
  const lax = openSync(echo({ features: [f32('a'), f32('b')] }), { extra: 'ignore' })
  assert.deepEqual(lax.predictSync({ a: 1, b: 2, c: 3, d: { e: Symbol('x') } }).prediction, [1, 2])
  assert.deepEqual(lax.predictSync([{ b: 2, z: 1, a: 1 }])[0].prediction, [1, 2])
})

test('symbol keys and properties that are not enumerable are ignored', () => {
  assert.deepEqual(answerOf({ a: 1, b: 2, [Symbol('a')]: 3 }), [1, 2])
  const hidden = Object.defineProperty({ a: 1, b: 2 }, 'c', { value: 3, enumerable: false })
  assert.deepEqual(answerOf(hidden), [1, 2])
})

test('a list of records is accepted, and an empty list and elements that are not records are refused', async () => {
  assert.deepEqual(
    pair.predictSync([{ a: 1, b: 2 }]).map(one => one.prediction),
    [[1, 2]]
  )
  assert.equal((await failureOf(pair, [])).code, 'SHAPE_MISMATCH')
  const holes = [{ a: 1, b: 2 }]
  holes[2] = { a: 1, b: 2 }
  for (const list of [
    holes,
    [{ a: 1, b: 2 }, null],
    [1, 2],
    [[{ a: 1, b: 2 }]],
    ['x'],
    [undefined]
  ]) {
    assert.throws(
      () => pair.predictSync(list),
      error => error.code === 'DTYPE_MISMATCH' || error instanceof TypeError
    )
    await assert.rejects(
      async () => pair.predict(list),
      error => error.code === 'DTYPE_MISMATCH' || error instanceof TypeError
    )
  }
  const same = { a: 4, b: 5 }
  assert.equal(pair.predictSync(Array(1000).fill(same)).length, 1000)
  class List extends Array {}
  assert.deepEqual(pair.predictSync(List.from([same]))[0].prediction, [4, 5])
  assertWorks()
})

test('all faults of all records are reported, in order, without a value', async () => {
  const secret = 'SECRET-12345'
  const records = [
    { a: secret, b: 2 },
    { a: 1, b: 2 },
    { b: null, [secret.length]: 0 },
    { a: 1, b: true }
  ]
  const failure = await failureOf(pair, records)
  assert.deepEqual(
    failure.faults.map(({ row, name, code }) => [row, name, code]),
    [
      [0, 'a', 'DTYPE_MISMATCH'],
      [2, 'a', 'MISSING_VALUE'],
      [2, 'b', 'MISSING_VALUE'],
      [2, '12', 'UNKNOWN_NAME'],
      [3, 'b', 'DTYPE_MISMATCH']
    ]
  )
  assert.equal(JSON.stringify([failure.message, failure.faults, failure]).includes('SECRET'), false)
  assertWorks()
})

test('of thousands of faults, the first 1000 are kept', async () => {
  const failure = await failureOf(
    pair,
    Array.from({ length: 5000 }, () => ({ a: 'x', b: 1 }))
  )
  assert.equal(failure.code, 'DTYPE_MISMATCH')
  assert.equal(failure.faults.length, 1000)
  for (const [i, fault] of failure.faults.entries())
    assert.deepEqual([fault.row, fault.name], [i, 'a'])
  assertWorks()
})

test('answers are plain objects that belong to the caller', () => {
  const first = pair.predictSync({ a: 1, b: 2 })
  const second = pair.predictSync({ a: 3, b: 4 })
  assert.deepEqual([first.prediction, second.prediction], [[1, 2], [3, 4]]) // biome-ignore format: one line
  first.prediction[0] = 9
  first.more = true
  assert.deepEqual(answerOf({ a: 1, b: 2 }), [1, 2])
  assert.ok(Array.isArray(second.prediction))
  assert.equal(JSON.stringify(second), '{"prediction":[3,4]}')
})

test('the shape of records may change from call to call', () => {
  for (let i = 0; i < 3000; i++) {
    const record = {}
    for (const key of i % 2 ? ['a', 'b'] : ['b', 'a']) record[key] = key === 'a' ? i : -i
    if (i % 7 === 0) delete record.a
    if (i % 7 === 0) record.a = i
    assert.deepEqual(answerOf(record), [i, -i])
    if (i % 100 === 0) assert.throws(() => answerOf({ ...record, c: 1 }), { code: 'UNKNOWN_NAME' })
    if (i % 150 === 0) assert.throws(() => answerOf({ a: i }), { code: 'MISSING_VALUE' })
  }
})
