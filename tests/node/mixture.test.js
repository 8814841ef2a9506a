// All operations at the same time, in a random order that depends only on a seed. Each outcome is
// right, or an error that the operation may report.
'use strict'

const assert = require('node:assert/strict')
const test = require('node:test')

const { open, openSync, SidecallError } = require('../../bindings/node')
const { echo } = require('./support/models.js')
const { modelPath } = require('./support/paths.js')
const slow = require('./support/slow.js')

const STEPS = process.env.SIDECALL_LONG === '1' ? 100_000 : 4_000
const LIVING = 12
const SOURCES = {
  slow: slow.source,
  echo: echo({ features: ['a', 'b'].map(name => ({ name, type: 'float32' })) }),
  strings: modelPath('strings.onnx'),
  split: modelPath('split.onnx')
}

/** Random numbers from 0 to 1, the same for the same seed (mulberry32 by Tommy Ettinger). */
function chance(seed) {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

class Mixture {
  constructor(seed) {
    this.random = chance(seed)
    this.models = []
    this.calls = []
    this.pending = new Set()
    this.counts = {}
  }

  upTo(limit) {
    return Math.floor(this.random() * limit)
  }

  pick(list) {
    return list[this.upTo(list.length)]
  }

  note(promise) {
    this.pending.add(promise)
    const forget = () => this.pending.delete(promise)
    promise.then(forget, forget)
  }

  /** Awaits the result of a step. `codes` are the errors that it may end with. */
  outcome(name, answer, check, codes) {
    const promise = Promise.resolve(answer).then(check, error => {
      if (error === 'aborted') return
      if (!(error instanceof SidecallError) || !codes.includes(error.code)) throw error
    })
    this.counts[name] = (this.counts[name] ?? 0) + 1
    this.note(promise)
    promise.catch(error => {
      this.failure ??= new Error(`${name}: ${error.stack}`)
    })
  }

  options() {
    const options = {}
    if (this.random() < 0.2) options.timeoutMs = 0.05 + this.random() * 5
    if (this.random() < 0.3) {
      const controller = new AbortController()
      options.signal = controller.signal
      const abort = () => controller.abort('aborted')
      if (this.random() < 0.2) abort()
      else if (this.random() < 0.5) setImmediate(abort)
      else setTimeout(abort, this.random() * 5)
    }
    return options
  }

  tensors() {
    const size = this.pick([1, 2, 7, 100, 9_000, 40_000])
    const value = this.upTo(1000)
    return {
      value,
      size,
      inputs: slow.inputsFor(this.pick([0, 0, 0.1, 1]), new Float32Array(size).fill(value))
    }
  }

  steps = {
    open: () => {
      const kind = this.pick(Object.keys(SOURCES))
      const add = model => this.models.push({ kind, model, isOpen: true })
      if (this.random() < 0.5) add(openSync(SOURCES[kind]))
      else
        this.outcome(
          'open',
          open(SOURCES[kind], this.random() < 0.2 ? { signal: this.options().signal } : {}),
          add,
          []
        )
    },
    run: one => {
      if (one.kind !== 'slow') return
      const { value, size, inputs } = this.tensors()
      const run = one.model.run(inputs, this.options())
      const fate = this.random() // what happens to the input memory during the run
      if (fate < 0.2) structuredClone(inputs.x.buffer, { transfer: [inputs.x.buffer] })
      else if (fate < 0.4) inputs.x.fill(-1)
      const check = ({ y }) =>
        assert.ok(y.length === size && y.every(got => got === value), `${y.length} of ${size}`)
      this.outcome('run', run, check, ['TIMEOUT', ...(one.isOpen ? [] : ['INVALID_ARGUMENT'])])
    },
    runSync: one => {
      if (one.kind !== 'slow' || !one.isOpen) return
      const { value, size, inputs } = this.tensors()
      const { y } = one.model.runSync(inputs)
      assert.ok(y.length === size && y.every(got => got === value))
    },
    strings: one => {
      if (one.kind !== 'strings' || !one.isOpen) return
      const first = Array.from({ length: 1 + this.upTo(5) }, () => String(this.upTo(1e9)))
      const second = first.map(text => 'ä'.repeat(text.length))
      const check = ({ joined }) =>
        assert.deepEqual(
          [...joined],
          first.map((text, i) => text + second[i])
        )
      check(one.model.runSync({ first, second }))
      this.outcome('strings', one.model.run({ first, second }, this.options()), check, ['TIMEOUT'])
    },
    split: one => {
      if (one.kind !== 'split' || !one.isOpen) return
      const text = Array.from({ length: 1 + this.upTo(4) }, () =>
        'w '.repeat(1 + this.upTo(4)).trim()
      )
      const { counts } = one.model.runSync({ text })
      assert.deepEqual(
        [...counts].map(Number),
        text.map(words => words.split(' ').length)
      )
    },
    predict: one => {
      if (one.kind !== 'echo') return
      const records = Array.from({ length: 1 + this.upTo(20) }, () => ({
        a: this.upTo(100),
        b: this.upTo(100)
      }))
      const isWrong = this.random() < 0.2
      if (isWrong) this.pick(records).a = 'x'
      const check = answers => {
        assert.ok(!isWrong)
        assert.deepEqual(
          answers.map(({ prediction }) => prediction),
          records.map(({ a, b }) => [a, b])
        )
      }
      const codes = [
        'TIMEOUT',
        ...(isWrong ? ['DTYPE_MISMATCH'] : []),
        ...(one.isOpen ? [] : ['INVALID_ARGUMENT'])
      ]
      this.outcome('predict', one.model.predict(records, this.options()), check, codes)
    },
    call: one => {
      if (one.kind === 'slow' && one.isOpen)
        this.calls.push({ call: one.model.call(), size: 1, isOpen: true })
    },
    callRun: () => {
      const one = this.pick(this.calls)
      if (one === undefined) return
      const { call } = one
      const codes = ['BUSY', 'TIMEOUT', 'CANCELLED', ...(one.isOpen ? [] : ['INVALID_ARGUMENT'])]
      try {
        const value = this.upTo(1000)
        if (this.random() < 0.3) one.size = call.reshape('x', [this.pick([1, 3, 5000])]).length
        call.inputs.x.fill(value)
        call.inputs.n[0] = BigInt(this.upTo(30))
        if (this.random() < 0.5) {
          call.runSync()
          assert.ok(
            call.outputs.y.length === one.size && call.outputs.y.every(got => got === value)
          )
        } else {
          this.outcome('callRun', call.run(this.options()), () => {}, codes)
        }
      } catch (error) {
        if (!(error instanceof SidecallError) || !codes.includes(error.code)) throw error
      }
    },
    closeCall: () => {
      if (this.calls.length < LIVING && this.random() < 0.9) return
      const one = this.pick(this.calls)
      if (one === undefined) return
      one.isOpen = false
      one.call.close()
      this.calls.splice(this.calls.indexOf(one), 1)
    },
    close: one => {
      if (this.models.length < LIVING && this.random() < 0.9) return
      one.isOpen = false
      if (this.random() < 0.8) one.model.close()
      this.models.splice(this.models.indexOf(one), 1)
    },
    collect: () => {
      if (this.random() < 0.05) globalThis.gc()
    }
  }

  async play(steps) {
    const names = Object.keys(this.steps)
    this.models.push({ kind: 'slow', model: openSync(SOURCES.slow), isOpen: true })
    for (let i = 0; i < steps && this.failure === undefined; i++) {
      const one = this.models.length === 0 ? undefined : this.pick(this.models)
      const name = one === undefined ? 'open' : this.pick(names)
      if (name !== 'open' || this.models.length < LIVING) this.steps[name](one)
      if (this.random() < 0.3 || this.pending.size > 50) await new Promise(setImmediate)
      if (this.pending.size > 200) await Promise.allSettled(this.pending)
    }
    await Promise.allSettled(this.pending)
    if (this.failure !== undefined) throw this.failure
  }
}

for (const seed of [1, 2, 3]) {
  test(`a mixture of everything, seed ${seed}`, async () => {
    const mixture = new Mixture(seed)
    await mixture.play(STEPS)
    for (const name of ['open', 'run', 'strings', 'predict', 'callRun'])
      assert.ok(mixture.counts[name] > 10, `${name}: ${mixture.counts[name]}`)
  })
}
