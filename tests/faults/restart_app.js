// restart_app.js ADDRESS RATE WORKERS: an HTTP service with Node's cluster, whose workers call the
// model at ADDRESS and wait for a server that restarts. Used by test_restarts.py.
//
// Its primary sends RATE requests per second until its stdin is closed, then prints one JSON line:
// how often each answer occurred.
const cluster = require('node:cluster')
const http = require('node:http')
const { once } = require('node:events')
const { open } = require('../../bindings/node')

const [address, rate, numWorkers] = [
  process.argv[2],
  Number(process.argv[3]),
  Number(process.argv[4])
]

async function work() {
  const model = await open(address, { waitMs: 5000 })
  const server = http.createServer(async (request, response) => {
    const x = Number(request.url.slice(1))
    try {
      const { Y } = await model.run({ X: Float32Array.of(x, x + 1, x + 2, x + 3) })
      response.end(JSON.stringify([...Y]))
    } catch (error) {
      response.statusCode = error.code === 'PEER_DIED' ? 502 : 503
      response.end(error.code ?? String(error))
    }
  })
  server.listen(0, '127.0.0.1')
  process.on('disconnect', () => process.exit(0))
}

/** 'OK', 'WRONG', the code of the error, or the failure of the HTTP request itself. */
function ask(agent, port, x) {
  return new Promise(resolve => {
    const request = http.get({ agent, port, host: '127.0.0.1', path: `/${x}` }, response => {
      let text = ''
      response.on('data', part => {
        text += part
      })
      response.on('end', () => {
        if (response.statusCode !== 200) return resolve(text)
        resolve(text === JSON.stringify([2 * x, 2 * x + 2, 2 * x + 4, 2 * x + 6]) ? 'OK' : 'WRONG')
      })
    })
    request.on('error', error => resolve(`HTTP ${error.code}`))
  })
}

async function lead() {
  let port = 0
  for (let i = 0; i < numWorkers; i++) {
    const [listening] = await once(cluster.fork(), 'listening')
    port ||= listening.port
  }
  const counts = {}
  const agent = new http.Agent({ keepAlive: true, maxSockets: 2048 })
  const asked = []
  const start = performance.now()
  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - start) * rate) / 1000)
    while (asked.length < due) {
      const x = asked.length % 100_000
      asked.push(
        ask(agent, port, x).then(outcome => {
          counts[outcome] = (counts[outcome] ?? 0) + 1
        })
      )
    }
  }, 5)
  console.log('ready')
  process.stdin.resume()
  await once(process.stdin, 'end')
  clearInterval(timer)
  await Promise.all(asked)
  console.log(JSON.stringify(counts))
  for (const worker of Object.values(cluster.workers)) worker.disconnect()
  agent.destroy()
}

if (cluster.isPrimary) lead()
else work()
