// Predictions over HTTP with Fastify.   node fastify.js penguins.onnx [port]
//
//   curl localhost:8080/predict --json '{"island": "Biscoe", "bill_length_mm": 48.2}'
import Fastify from 'fastify'
import { open } from 'sidecall'
import { describe, HttpError } from './errors.js'

const [path, port = '8080'] = process.argv.slice(2)
const model = await open(path)
const app = Fastify({ bodyLimit: 64 * 1024 })

app.get('/model', () => ({
  name: model.name,
  version: model.version,
  features: model.signature.features
}))
app.post('/predict', request => model.predict(request.body, { timeoutMs: 250 }))

app.setNotFoundHandler(() => {
  throw new HttpError(404, 'NOT_FOUND', 'expected POST /predict or GET /model')
})
app.setErrorHandler((error, _request, reply) => {
  const { status, body } = describe(error)
  reply.code(status).send(body)
})
app.addHook('onSend', async (_request, reply) => {
  // A kept-alive connection would delay the shutdown.
  if (!app.server.listening) reply.header('connection', 'close')
})
app.addHook('onClose', () => model.close())

console.log(`listening on ${await app.listen({ port: Number(port), host: '127.0.0.1' })}`)

// Requests in flight are answered, then the process exits by itself.
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => app.close())
