// The bodies of ../README.md: encode requests and decode answers, for transports that only move
// bytes.
'use strict'

const { size } = require('./work.js')

const ARRAYS = { float32: Float32Array, float64: Float64Array, int64: BigInt64Array }

/**
 * For call i: `ask` makes the data that a program has already. `encode` and `decode` are part of
 * the timed call. `read` prepares the answer for the check.
 */
const bodies = {
  json(work) {
    const decode = bytes => JSON.parse(bytes.toString())
    if (work.kind === 'record') {
      return {
        type: 'application/json',
        ask: i => work.record(i),
        encode: JSON.stringify,
        decode,
        read: answer => work.readRecord(answer)
      }
    }
    const { name } = work.input
    const encode = rows => JSON.stringify({ [name]: rows })
    return {
      type: 'application/json',
      ask: i => work.nested(i),
      encode,
      decode,
      read: answer => work.readTensors(answer)
    }
  },

  binary(work) {
    if (work.kind === 'record')
      throw new Error('binary: expected a workload of tensors, got records')
    const outputs = work.outputs.map(({ name, dtype, dims }) => ({
      name,
      Type: ARRAYS[dtype],
      count: work.rows * size(dims)
    }))
    const bytes = outputs.reduce((sum, { Type, count }) => sum + count * Type.BYTES_PER_ELEMENT, 0)
    return {
      type: 'application/octet-stream',
      ask: i => work.tensor(i),
      encode: x => Buffer.from(x.buffer, x.byteOffset, x.byteLength),
      decode(body) {
        if (body.length !== bytes)
          throw new Error(`answer: expected ${bytes} bytes, got ${body.length}`)
        const answer = {}
        let at = body.byteOffset
        for (const { name, Type, count } of outputs) {
          const end = at + count * Type.BYTES_PER_ELEMENT
          // copy, because the body may start at an unaligned address
          answer[name] = new Type(body.buffer.slice(at, end))
          at = end
        }
        return answer
      },
      read: answer => work.readTensors(answer)
    }
  }
}

/**
 * Makes an approach from a body and `send(bytes or string, worker)`, which returns the bytes of the
 * answer. `sizes` holds the lengths of the last call's bodies.
 */
function moveBytes(work, name, send) {
  if (bodies[name] === undefined) throw new Error(`body: expected json or binary, got ${name}`)
  const { type, ask, encode, decode, read } = bodies[name](work)
  const sizes = { request: 0, response: 0 }
  async function call(asked, worker) {
    const body = encode(asked)
    const answer = await send(body, worker)
    sizes.request = body.length
    sizes.response = answer.length
    return decode(answer)
  }
  return { type, ask, call, read, sizes }
}

module.exports = { moveBytes }
