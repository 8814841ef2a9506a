// Functions compiled for one model: a record of plain numbers into the engine's memory, and the outputs of one row into a record.
// Named loads and object literals take a fifth of the time of loops over names. Where Node may not compile from strings, or a
// model is not of the plain kind, there is none, and records.js and answers.js do the same in general.
'use strict'

const MAX_FEATURES = 512 // beyond, V8 does not optimise a function this long
const SCALAR = 0
const MEMBER = 1

function compile(parameters, body) {
  try {
    return new Function(...parameters, `'use strict'\n${body}`)
  } catch {
    return null
  }
}

/** A computed key, so that no name means anything to JavaScript: not even __proto__. */
const key = name => `[${JSON.stringify(name)}]`

/**
 * (record, names, out, at) => were all values plain, in the range of their features, and the keys exactly `names`?
 * Only then `out` counts. Runs code of the user where a property is a getter.
 */
function compileReader(layout) {
  const { names, low, high } = layout
  if (!layout.isMatrix || names.length > MAX_FEATURES || low.some(Number.isNaN)) return null
  const reads = names.map(
    (name, i) => `v = record${key(name)}
if (typeof v !== 'number' || !(v >= ${low[i]} && v <= ${high[i]})) return false
out[at + ${i}] = v`
  )
  return compile(
    ['record', 'names', 'out', 'at'],
    `const prototype = Object.getPrototypeOf(record)
if (prototype !== Object.prototype && prototype !== null) return false
let n = 0
for (const name in record) if (name !== names[n++]) return false
if (n !== ${names.length}) return false
let v
${reads.join('\n')}
return true`
  )
}

function partText(part, p) {
  const element = column => (part.isDirect ? `d${p}[${column}]` : `r${p}(d${p}[${column}])`)
  if (part.form === SCALAR) return element(part.columns[0])
  const elements = part.columns.map((column, i) =>
    part.form === MEMBER ? `${key(part.keys[i])}: ${element(column)}` : element(column)
  )
  return part.form === MEMBER ? `{ ${elements.join(', ')} }` : `[${elements.join(', ')}]`
}

/** (d0, d1, ...) => record, from the data of each part's output. */
function compileAnswer(parts) {
  if (parts.some(part => part.columns.length > MAX_FEATURES)) return null
  const make = compile(
    parts.map((_, p) => `r${p}`),
    `return (${parts.map((_, p) => `d${p}`).join(', ')}) => ({ ${parts.map((part, p) => `${key(part.name)}: ${partText(part, p)}`).join(', ')} })`
  )
  return make === null ? null : make(...parts.map(part => part.read))
}

module.exports = { compileAnswer, compileReader }
