// HTTP with undici, Node's own client: one pool for all callers, with one kept-alive connection
// each.
'use strict'

const { moveBytes } = require('../bodies.js')
const { peer } = require('../modules.js')

module.exports = async (work, at, body) => {
  const { Pool } = peer('undici')
  const url = new URL(at.unix === undefined ? at.url : `http://localhost${at.path ?? ''}`)
  // undici's defaults. Its pool closes idle connections early, because a server may close them too.
  const pool = new Pool(url.origin, {
    connections: null,
    pipelining: 1,
    socketPath: at.unix ?? null
  })
  const path = `${url.pathname.replace(/\/$/, '')}/${work.name}`

  const moved = moveBytes(work, body, async bytes => {
    const { statusCode, body: answer } = await pool.request({
      path,
      method: 'POST',
      headers,
      body: bytes
    })
    const given = Buffer.from(await answer.arrayBuffer())
    if (statusCode !== 200) throw new Error(`HTTP ${statusCode}: ${given.toString().slice(0, 200)}`)
    return given
  })
  const headers = { 'content-type': moved.type }
  return { ...moved, close: () => pool.close() }
}
