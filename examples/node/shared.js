// What both services take, and what they answer when a prediction fails; used by http.js and fastify.js.
import { SidecallError } from 'sidecall'

/** A request that never reached the model. */
export class HttpError extends Error {
  constructor(statusCode, code, message) {
    super(message)
    this.statusCode = statusCode
    this.code = code
  }
}

/** Gives back a record, or a list of them. What is wrong inside, the model finds. */
export function expectRecords(body) {
  const records = Array.isArray(body) ? body : [body]
  const areRecords = records.every(record => typeof record === 'object' && record !== null && !Array.isArray(record))
  if (!areRecords || records.length === 0) throw new HttpError(400, 'INVALID_RECORD', 'expected a record, or a list of records')
  return body
}

/** The status and the body of the answer. Faults name features and types, never a value, so they may go out as they are. */
export function describe(error) {
  if (error instanceof SidecallError) {
    if (error.family === 'data') return { status: 400, body: { error: error.code, faults: error.faults.map(describeFault) } }
    return { status: error.retryable ? 503 : 500, body: { error: error.code } }
  }
  // Fastify's own errors bear statusCode and code too.
  if (error.statusCode < 500) return { status: error.statusCode, body: { error: error.code, message: error.message } }
  console.error(error)
  return { status: 500, body: { error: 'INTERNAL' } }
}

function describeFault({ code, row, name, expected, got }) {
  return { code, row, feature: name, expected, got }
}
