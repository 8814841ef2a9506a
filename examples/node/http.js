// Predictions over HTTP with Node's own server.   node http.js penguins.onnx [port]
//
//   curl localhost:8080/predict -d '{"island": "Biscoe", "bill_length_mm": 48.2}'
import { createServer } from 'node:http'
import { open } from 'sidecall'
import { describe, HttpError } from './errors.js'

const MAX_BYTES = 64 * 1024
const TIMEOUT_MS = 250

const [path, port = '8080'] = process.argv.slice(2)
const model = await open(path)

async function readJson(request) {
  const chunks = []
  let length = 0
  // A request that is too large is not destroyed: the client still has to read the response.
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    length += chunk.length
    if (length > MAX_BYTES)
      throw new HttpError(413, 'TOO_LARGE', `expected at most ${MAX_BYTES} bytes`)
    chunks.push(chunk)
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString())
  } catch {
    throw new HttpError(400, 'INVALID_JSON', 'expected JSON')
  }
}

async function answer(request, response) {
  const route = `${request.method} ${request.url}`
  if (route === 'GET /model')
    return { name: model.name, version: model.version, features: model.signature.features }
  if (route !== 'POST /predict')
    throw new HttpError(404, 'NOT_FOUND', 'expected POST /predict or GET /model')
  const gone = new AbortController()
  response.on('close', () => gone.abort())
  return model.predict(await readJson(request), { timeoutMs: TIMEOUT_MS, signal: gone.signal })
}

function send(response, status, body) {
  // After a 413 the unread rest of the body would be parsed as the next request. During shutdown a
  // kept-alive connection would delay the exit.
  if (status === 413 || !server.listening) response.setHeader('connection', 'close')
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

const server = createServer(async (request, response) => {
  try {
    send(response, 200, await answer(request, response))
  } catch (error) {
    if (response.destroyed) return
    const { status, body } = describe(error)
    send(response, status, body)
  }
})

server.listen(Number(port), '127.0.0.1', () =>
  console.log(`listening on http://127.0.0.1:${server.address().port}`)
)

// Requests in flight are answered, then the process exits by itself.
for (const signal of ['SIGINT', 'SIGTERM'])
  process.once(signal, () => server.close(() => model.close()))
