// What a client is told when a prediction fails, built from the error's fields; used by http.js and fastify.js.
import { SidecallError } from 'sidecall'

/** A request that never reached the model. */
export class HttpError extends Error {
  constructor(statusCode, code, message) {
    super(message)
    this.statusCode = statusCode
    this.code = code
  }
}

/** The status and the body of the answer. Faults name features and types, never a value, so they may go out as they are. */
export function describe(error) {
  if (error instanceof SidecallError) {
    if (error.family === 'data')
      return { status: 400, body: { error: error.code, faults: error.faults.map(describeFault) } }
    return { status: error.retryable ? 503 : 500, body: { error: error.code } }
  }
  // Fastify's own errors bear statusCode and code too.
  if (error.statusCode < 500)
    return { status: error.statusCode, body: { error: error.code, message: error.message } }
  console.error(error)
  return { status: 500, body: { error: 'INTERNAL' } }
}

function describeFault({ code, row, name, expected, got }) {
  return { code, row, feature: name, expected, got }
}
