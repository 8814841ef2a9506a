// A web service that scores penguins, with the model in its own process, in a sidecall server, or
// behind FastAPI. Started by approaches/service.py.
//
// Usage: node app.js PORT in-process FILE | shm URI | http URL
'use strict'

const fastify = require('fastify')

/** The possible places of the model; each returns a function from a record to its answer. */
const backEnds = {
  async 'in-process'(file) {
    const model = await require('sidecall').open(file)
    return record => model.predictSync(record)
  },

  async shm(uri) {
    const model = await require('sidecall').open(uri)
    return record => model.predict(record)
  },

  async http(url) {
    const { Pool } = require('undici')
    const { origin, pathname } = new URL(url)
    const pool = new Pool(origin)
    const headers = { 'content-type': 'application/json' }
    return async record => {
      const { statusCode, body } = await pool.request({
        path: pathname,
        method: 'POST',
        headers,
        body: JSON.stringify(record)
      })
      const answer = await body.json()
      if (statusCode !== 200)
        throw Object.assign(new Error(answer.detail ?? 'the model refused the record'), {
          statusCode
        })
      return answer
    }
  }
}

const response = {
  200: {
    type: 'object',
    properties: {
      label: { type: 'string' },
      probabilities: { type: 'object', additionalProperties: { type: 'number' } }
    }
  }
}

async function main() {
  const [port, kind, where] = process.argv.slice(2)
  const score = await backEnds[kind](where)
  const app = fastify()

  app.post('/score/penguins', { schema: { response } }, request => score(request.body))

  // The model reports what is wrong with a record, so the service needs no second description of
  // its features.
  app.setErrorHandler((error, _request, reply) => {
    if (error.family === 'data')
      reply.code(400).send({ message: error.message, faults: error.faults })
    else reply.code(error.statusCode ?? 500).send({ message: error.message })
  })

  process.on('SIGTERM', () => app.close().then(() => process.exit(0)))
  await app.listen({ port: Number(port), host: '127.0.0.1' })
}

main().catch(error => {
  console.error(error)
  process.exit(1)
})
