// Encodes JavaScript strings as UTF-8 for the addon; used by workspace.js and records.js. A string
// with a lone surrogate becomes one byte that is not valid UTF-8, so that core rejects the string.
// The encoders of Node would silently replace the surrogate by U+FFFD.
'use strict'

const INVALID = 0xff

/**
 * Returns {bytes, ends}: the bytes of all strings without gaps, and the offset at which each string
 * ends.
 */
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
