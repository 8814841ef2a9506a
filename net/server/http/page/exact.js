// JSON in which numbers keep the digits that they were written with. JavaScript's own numbers would
// round integers beyond 2^53, and would show 172.0 as 172.

export class Digits {
  constructor(text) {
    this.text = text
  }
  toString() {
    return this.text
  }
  valueOf() {
    return Number(this.text)
  }
}

const STRING_OR_NUMBER = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*/g

// Parses JSON. Each number becomes a Digits.
export function parse(text) {
  // JSON.parse hands over rounded numbers, so each number is first put into an object with a key
  // that no text of the server can know.
  const key = Array.from(crypto.getRandomValues(new Uint32Array(4)), part =>
    part.toString(36)
  ).join('')
  const marked = text.replace(STRING_OR_NUMBER, part =>
    part.startsWith('"') ? part : `{"${key}":"${part}"}`
  )
  return JSON.parse(marked, (_, value) =>
    isObject(value) && Object.hasOwn(value, key) ? new Digits(value[key]) : value
  )
}

// The JSON of what `parse` returned.
export function write(value, indent = '') {
  if (value instanceof Digits) return value.text
  const inner = `${indent}  `
  if (Array.isArray(value)) return `[${value.map(each => write(each, inner)).join(', ')}]`
  if (!isObject(value)) return JSON.stringify(value)
  const members = Object.entries(value).map(
    ([name, each]) => `${inner}${JSON.stringify(name)}: ${write(each, inner)}`
  )
  return members.length === 0 ? '{}' : `{\n${members.join(',\n')}\n${indent}}`
}

export function isObject(value) {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Digits)
  )
}

const NUMBER = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/

// The number that a person wrote, as JSON has it: +7, .5 and 5. are numbers too. null if the text
// is not a number.
export function readNumber(text) {
  const match = NUMBER.exec(text.trim())
  if (match === null) return null
  const [, sign, whole, fraction = '', exponent] = match
  if (whole === '' && fraction === '') return null
  const digits = whole.replace(/^0+(?=\d)/, '') || '0'
  const end = exponent === undefined ? '' : `e${exponent}`
  return new Digits(
    `${sign === '-' ? '-' : ''}${digits}${fraction === '' ? '' : `.${fraction}`}${end}`
  )
}
