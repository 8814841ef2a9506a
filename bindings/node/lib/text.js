// JavaScript strings to UTF-8 for the addon. A lone surrogate becomes a byte that is no UTF-8, so that core refuses the string:
// Node's own encoders put U+FFFD in its place without a word.
'use strict'

const INVALID = 0xff

/** {bytes, ends}: all strings back to back, and where each ends. */
function encodeStrings(strings) {
  const ends = new Float64Array(strings.length)
  const joined = strings.join('')
  let end = 0
  if (Buffer.byteLength(joined) === joined.length) {
    for (let i = 0; i < strings.length; ++i) ends[i] = end += strings[i].length
    return { bytes: Buffer.from(joined, 'latin1'), ends }
  }
  for (let i = 0; i < strings.length; ++i)
    ends[i] = end += strings[i].isWellFormed() ? Buffer.byteLength(strings[i]) : 1
  const bytes = Buffer.allocUnsafe(end)
  for (let i = 0, start = 0; i < strings.length; start = ends[i++]) {
    if (strings[i].isWellFormed()) bytes.write(strings[i], start)
    else bytes[start] = INVALID
  }
  return { bytes, ends }
}

module.exports = { INVALID, encodeStrings }
