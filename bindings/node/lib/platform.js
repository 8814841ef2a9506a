// Finds files of other packages that npm has installed: the native files of @sidecall/<platform>
// and onnxruntime-node. Used by lib/addon.js and bin/sidecall.js. It works in a bundle too, because
// webpack and esbuild rewrite `require`, but not the function that createRequire() returns.
'use strict'

const fs = require('node:fs')
const { createRequire } = require('node:module')
const path = require('node:path')

const platform = `${process.platform}-${process.arch}`
const platformPackage = `@sidecall/${platform}`
// The slim package has no ONNX Runtime. If both packages are installed, the full one is used.
const platformPackages = [platformPackage, `${platformPackage}-slim`]

/**
 * Returns the folders of the program's main file: first the folder after symbolic links are
 * resolved, then the folder in the path as it was given, if that is another one.
 */
function programFolders() {
  const program = process.argv[1]
  if (program === undefined) return []
  try {
    return [...new Set([fs.realpathSync(program), program].map(file => path.dirname(file)))]
  } catch {
    return [path.dirname(program)] // with `node -e`, the first argument is not a file
  }
}

const fromProgram = programFolders()
// This file is CommonJS, so __dirname is missing only if a bundler converted it to an ES module.
const here = typeof __dirname === 'string' ? __dirname : path.resolve(fromProgram[0] ?? '.')
const isBundled = typeof __filename !== 'string' || path.basename(__filename) !== 'platform.js'
const load = createRequire(path.join(here, 'platform.js'))
// A bundle may be in another folder than the packages, so the program's folders are searched too.
const searched = isBundled ? [...new Set([here, ...fromProgram])] : [here]

/** Resolves a module, starting from each of the folders in turn; undefined if it is not found. */
function resolve(request, folders) {
  try {
    return load.resolve(request, { paths: folders })
  } catch {
    return undefined
  }
}

/**
 * Returns the folder of the platform package; undefined if it is not installed. For a bundle, the
 * search also starts from an installed package sidecall, because pnpm makes the dependencies of a
 * package visible only from the folder of that package.
 */
function findPlatformPackage() {
  const main = isBundled ? resolve('sidecall/package.json', searched) : undefined
  const folders = main === undefined ? searched : [...searched, path.dirname(main)]
  for (const name of platformPackages) {
    const found = resolve(`${name}/package.json`, folders)
    if (found) return path.dirname(found)
  }
  return undefined
}

/**
 * Whether this process uses glibc. musl (Alpine) cannot run binaries that were linked for glibc.
 */
function isGlibc() {
  return process.report?.getReport().header.glibcVersionRuntime !== undefined
}

function reason() {
  if (process.platform !== 'linux') return `expected Linux, got ${process.platform}`
  if (!isGlibc()) return 'expected glibc 2.28 or newer, got another C library (musl)'
  if (!isBundled)
    return `the package ${platformPackage} is not installed: was npm told to omit optional dependencies?`
  return (
    `sidecall is part of a bundle, and the package ${platformPackage} is not installed where the ` +
    `bundle runs (searched from ${searched.join(', ')}): configure the bundler to ` +
    "leave 'sidecall' out (option `external` of esbuild and Vite, `externals` of webpack), and " +
    'install sidecall beside the bundle'
  )
}

/**
 * Returns the path of the file `name` ('sidecall.node', 'bin/sidecall'), either built by `npm run
 * build` or from the platform package. Throws an Error that says what is missing.
 */
function locate(name) {
  const built = path.join(here, '..', 'build', name)
  if (!isBundled && fs.existsSync(built)) return built
  const folder = findPlatformPackage()
  if (folder === undefined)
    throw new Error(`no native part of sidecall for ${platform}: ${reason()}`)
  return path.join(folder, name)
}

module.exports = { findPlatformPackage, fromProgram, here, locate, resolve }
