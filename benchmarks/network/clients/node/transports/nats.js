// NATS request-reply: one connection for all callers; all answers arrive in one inbox.
'use strict'

const { moveBytes } = require('../bodies.js')
const { peer } = require('../modules.js')

const TIMEOUT_MS = 30_000

module.exports = async (work, { url }, body) => {
  const connection = await peer('@nats-io/transport-node').connect({
    servers: url,
    reconnect: false
  })
  const send = async asked => {
    const { data } = await connection.request(`predict.${work.name}`, asked, {
      timeout: TIMEOUT_MS
    })
    return Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  }
  return { ...moveBytes(work, body, send), close: () => connection.close() }
}
