// `npm run build`: builds the addon and the command from source with CMake and copies them to
// build/, where lib/platform.js looks first.
'use strict'

const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')

const packageFolder = path.join(__dirname, '..')
const root = path.join(packageFolder, '..', '..')

function fail(text) {
  process.stderr.write(`sidecall: ${text}\n`)
  process.exit(1)
}

function has(command) {
  return spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0
}

/** Lists everything that is missing, so that the user can fix it all at once. */
function missing() {
  const compiler = process.env.CXX?.split(' ')[0] ?? 'c++'
  const wanted = []
  if (!fs.existsSync(path.join(root, 'CMakeLists.txt')))
    wanted.push("sidecall's source tree around this folder: clone the repository")
  if (!fs.existsSync(path.join(packageFolder, 'node_modules', 'node-api-headers')))
    wanted.push('the headers of Node-API: npm ci')
  if (!has('cmake')) wanted.push('cmake 3.25 or newer (Debian: cmake)')
  if (!has(compiler)) wanted.push(`a C++17 compiler, found none called '${compiler}' (Debian: g++)`)
  return wanted
}

function run(command, ...words) {
  const { status, error } = spawnSync(command, words, { cwd: root, stdio: 'inherit' })
  if (status !== 0) fail(`${command} ${words[0]} failed${error ? `: ${error.message}` : ''}`)
}

function main() {
  const wanted = missing()
  if (wanted.length > 0) fail(`the build needs ${wanted.join('; ')}`)
  const folder = path.join(root, 'build', 'npm-build')
  const ninja =
    has('ninja') && !fs.existsSync(path.join(folder, 'CMakeCache.txt')) ? ['-G', 'Ninja'] : []
  run(
    'cmake',
    '-S',
    root,
    '-B',
    folder,
    ...ninja,
    '-DSIDECALL_BUILD_NODE=ON',
    '-DSIDECALL_BUILD_TESTS=OFF'
  )
  run('cmake', '--build', folder, '--parallel', '--target', 'sidecall-node', 'sidecall-cli')
  const target = path.join(packageFolder, 'build')
  fs.mkdirSync(path.join(target, 'bin'), { recursive: true })
  fs.copyFileSync(path.join(folder, 'lib', 'sidecall.node'), path.join(target, 'sidecall.node'))
  fs.copyFileSync(path.join(folder, 'bin', 'sidecall'), path.join(target, 'bin', 'sidecall'))
}

main()
