// Compiles two functions for one model: one copies a record of plain numbers into the engine's
// memory, the other makes a record from the outputs of one row. Used by records.js and answers.js.
// Code that reads properties by fixed names and writes object literals takes a fifth of the time of
// a loop over names. If Node may not compile code from strings, or the model does not qualify, the
// function is null, and records.js and answers.js use their general code instead.
'use strict'

const MAX_FEATURES = 512 // V8 does not optimise functions that are longer
const SCALAR = 0
const MEMBER = 1

function compile(parameters, body) {
  try {
    return new Function(...parameters, `'use strict'\n${body}`)
  } catch {
    return null
  }
}

/** The source of an access to a property. */
const at = name => `[${JSON.stringify(name)}]`

/**
 * The source of a key in an object literal. A computed key would be slower; only __proto__ needs
 * one, because it has a special meaning in literals.
 */
const key = name => (name === '__proto__' ? at(name) : JSON.stringify(name))

/**
 * Compiles a function (record, names, out, at) => boolean. It writes the values of the record to
 * `out` from index `at` on. It returns true if the keys are exactly `names` in this order and each
 * value is a number in the range of its feature. Otherwise it returns false, and the contents of
 * `out` are not valid.
 * Runs code of the user if a property is a getter.
 */
function compileReader(layout) {
  const { names, low, high } = layout
  if (!layout.isMatrix || names.length > MAX_FEATURES || low.some(Number.isNaN)) return null
  const reads = names.map(
    (name, i) => `v = record${at(name)}
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
  if (part.isText) return `d${p}`
  const element = column => (part.isDirect ? `d${p}[${column}]` : `r${p}(d${p}[${column}])`)
  if (part.form === SCALAR) return element(part.columns[0])
  const elements = part.columns.map((column, i) =>
    part.form === MEMBER ? `${key(part.keys[i])}: ${element(column)}` : element(column)
  )
  return part.form === MEMBER ? `{ ${elements.join(', ')} }` : `[${elements.join(', ')}]`
}

/**
 * Compiles a function (d0, d1, ...) => record, where d0 is the data of the output of the first
 * part, d1 that of the second part, and so on; the string itself if the part is a text.
 */
function compileAnswer(parts) {
  if (parts.some(part => part.columns.length > MAX_FEATURES)) return null
  const data = parts.map((_, p) => `d${p}`).join(', ')
  const members = parts.map((part, p) => `${key(part.name)}: ${partText(part, p)}`).join(', ')
  const make = compile(
    parts.map((_, p) => `r${p}`),
    `return (${data}) => ({ ${members} })`
  )
  return make === null ? null : make(...parts.map(part => part.read))
}

module.exports = { compileAnswer, compileReader }
