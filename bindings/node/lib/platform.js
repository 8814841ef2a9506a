// Finds the native files of the package: the addon for lib/addon.js, the command for
// bin/sidecall.js.
'use strict'

const fs = require('node:fs')
const path = require('node:path')

const platform = `${process.platform}-${process.arch}`

/**
 * Whether this process uses glibc. musl (Alpine) cannot run binaries that were linked for glibc.
 */
function isGlibc() {
  return process.report?.getReport().header.glibcVersionRuntime !== undefined
}

function why() {
  if (process.platform !== 'linux') return `sidecall runs on Linux, got ${process.platform}`
  if (!isGlibc()) return 'sidecall needs glibc 2.28 or newer, got another C library (musl)'
  return `the package @sidecall/${platform} is not installed: was npm told to omit optional dependencies?`
}

/**
 * Returns the path of the file `name` ('sidecall.node', 'bin/sidecall'), either built by `npm run
 * build` or from the platform package. Throws an Error that says what is missing.
 */
function locate(name) {
  const built = path.join(__dirname, '..', 'build', name)
  if (fs.existsSync(built)) return built
  try {
    return path.join(path.dirname(require.resolve(`@sidecall/${platform}/package.json`)), name)
  } catch (cause) {
    throw new Error(`no native part of sidecall for ${platform}: ${why()}`, { cause })
  }
}

module.exports = { locate }
