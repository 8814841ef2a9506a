// Turns a failed prediction into an HTTP status and body, using the error's fields. Used by http.js
// and fastify.js.
import { SidecallError } from 'sidecall'

/** A request that never reached the model. */
export class HttpError extends Error {
  constructor(statusCode, code, message) {
    super(message)
    this.statusCode = statusCode
    this.code = code
  }
}

/**
 * The status and the body of the response. Faults name features and types and never contain a
 * value, so they may be sent as they are.
 */
export function describe(error) {
  if (error instanceof SidecallError) {
    if (error.family === 'data')
      return { status: 400, body: { error: error.code, faults: error.faults.map(describeFault) } }
    return { status: error.retryable ? 503 : 500, body: { error: error.code } }
  }
  // Fastify's own errors have statusCode and code too.
  if (error.statusCode < 500)
    return { status: error.statusCode, body: { error: error.code, message: error.message } }
  console.error(error)
  return { status: 500, body: { error: 'INTERNAL' } }
}

function describeFault({ code, row, name, expected, got }) {
  return { code, row, feature: name, expected, got }
}
