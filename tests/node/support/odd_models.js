// Models whose names, classes and lists are as odd as a file allows. Used by types.test.js.
'use strict'

const { classifier, echo, identity } = require('./models.js')

const ODD_NAMES = [
  '__proto__', 'constructor', 'toString', 'hasOwnProperty', 'length', 'class', 'readonly', 'get', 'new', 'a b', "it's", 'say "x"', '`${x}`',
  'back\\slash', 'new\nline', 'tab\t', '*/', '//', 'größe (m²)', '日本', '🐧', '\u202eright to left', '\u2028', '0', '-1', '1e3', 'a.b', '{}', ''.padEnd(300, 'long')
] // biome-ignore format: one list

const features = names => names.map(name => ({ name, type: 'float32' }))

const kinds = [
  { name: 'f32', type: 'float32' },
  { name: 'f64', type: 'float64', nullable: true },
  { name: 'i64', type: 'int64' },
  { name: 'maybe', type: 'int64', nullable: true },
  { name: 'flag', type: 'bool' },
  { name: 'word', type: 'string' },
  { name: 'size', type: 'string', allowed: ['S', 'M', "it's"], nullable: true },
  { name: 'level', type: 'int64', allowed: [10, -20] },
  { name: 'door', type: 'bool', allowed: [true] },
  { name: 'grade', type: 'float32', allowed: [1, 2.5] }
]

/** Name of the declaration -> bytes of the file. */
module.exports = {
  Kinds: classifier({
    features: kinds,
    classes: ['no', 'yes'],
    name: 'kinds */ export',
    version: '`1`\n*/'
  }),
  OddNames: classifier({ features: features(ODD_NAMES), classes: ODD_NAMES }),
  Integers: classifier({ features: features(['x']), classes: [0, 7, -3, 9007199254740991] }),
  Booleans: classifier({ features: features(['x']), classes: [false, true] }),
  Many: classifier({
    features: features(['x']),
    classes: Array.from({ length: 400 }, (_, i) => `class number ${i}`)
  }),
  AllOptional: classifier({
    features: [{ name: 'length', type: 'float32', nullable: true }],
    classes: ['a', 'b']
  }),
  Length: classifier({ features: features(['length']), classes: ['a', 'b'] }),
  One: echo({ features: [{ name: 'price', type: 'float64' }] }),
  Several: echo({ features: features(['a', 'b', 'c']) }),
  Bare: identity({ dtype: 'float32', dims: ['N', 3] }),
  Half: identity({ dtype: 'float16' }),
  Words: identity({ dtype: 'string' })
}
