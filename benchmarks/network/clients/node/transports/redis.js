// Redis lists as a queue, with the redis package. One connection per caller, because BLPOP blocks
// its connection.
'use strict'

const { randomBytes } = require('node:crypto')
const { moveBytes } = require('../bodies.js')
const { peer } = require('../modules.js')

module.exports = async (work, { port }, body) => {
  const { createClient, RESP_TYPES } = peer('redis')
  const callers = []

  async function connect() {
    const client = createClient({ socket: { host: '127.0.0.1', port, reconnectStrategy: false } })
    client.on('error', () => {}) // the rejected calls in progress report the error
    await client.connect()
    const commands = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })
    return { client, commands, name: randomBytes(4).toString('hex'), calls: 0 }
  }

  /** Sends both commands together. The answer cannot be missed, because it stays in its list. */
  async function send(asked, worker) {
    const caller = callers[worker]
    const id = caller.name + (++caller.calls).toString(16).padStart(8, '0')
    const request = Buffer.concat([Buffer.from(id), Buffer.from(asked)])
    const pushed = caller.commands.rPush(`requests.${work.name}`, request)
    const [, { element }] = await Promise.all([pushed, caller.commands.blPop(`reply.${id}`, 0)])
    return element
  }

  return {
    ...moveBytes(work, body, send),
    async prepare(workers) {
      while (callers.length < workers) callers.push(await connect())
    },
    close() {
      for (const { client } of callers) client.destroy()
    }
  }
}
