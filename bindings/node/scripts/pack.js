// `npm run pack -- --build DIR --onnxruntime FILE --out DIR`: writes the tarballs of a release:
// sidecall, @sidecall/<platform>, and in the folder slim of --out @sidecall/<platform>-slim, which
// replaces @sidecall/<platform> where ONNX Runtime is not wanted.
//
// --build is a CMake build folder with the addon and the command. --onnxruntime is a
// libonnxruntime.so whose LICENSE and ThirdPartyNotices.txt lie beside it or in one of the two
// folders above, as in the packages of PyPI and npm. --out is the folder for the tarballs. `make
// package` and the tests run this script.
'use strict'

const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { parseArgs } = require('node:util')

const source = path.join(__dirname, '..')
const root = path.join(source, '..', '..')
const platforms = ['linux-x64', 'linux-arm64']

function parse() {
  const options = {
    build: { type: 'string' },
    onnxruntime: { type: 'string' },
    out: { type: 'string' }
  }
  const { values } = parseArgs({ options })
  for (const name of Object.keys(options)) {
    if (!values[name]) throw new Error(`--${name}: expected a path, got nothing`)
    values[name] = path.resolve(values[name])
  }
  return values
}

function readJson(file) {
  return JSON.parse(fs.readFileSync(file, 'utf8'))
}

function writeJson(file, value) {
  fs.writeFileSync(file, `${JSON.stringify(value, null, 2)}\n`)
}

/** Makes the folder that the next `npm pack` reads; at first it contains only the LICENSE. */
function stage(out, name) {
  const folder = path.join(out, 'stage', name)
  fs.rmSync(folder, { recursive: true, force: true })
  fs.mkdirSync(folder, { recursive: true })
  fs.copyFileSync(path.join(root, 'LICENSE'), path.join(folder, 'LICENSE'))
  return folder
}

function pack(folder, out) {
  execFileSync('npm', ['pack', '--silent', '--pack-destination', out], {
    cwd: folder,
    stdio: 'inherit'
  })
}

/**
 * Packs the package `sidecall`: JavaScript and types. The fields of package.json that only
 * development needs are left out. It names only the platform whose package is packed with it: npm
 * finds no other one, and `npm ci` refuses a lock file that lacks a named package.
 */
function packMain(manifest, platform, out) {
  const folder = stage(out, 'sidecall')
  for (const name of manifest.files)
    fs.cpSync(path.join(source, name), path.join(folder, name), { recursive: true })
  fs.copyFileSync(path.join(source, 'README.md'), path.join(folder, 'README.md'))
  const { scripts, devDependencies, ...published } = manifest
  const optionalDependencies = { [`@sidecall/${platform}`]: manifest.version }
  writeJson(path.join(folder, 'package.json'), { ...published, optionalDependencies })
  pack(folder, out)
}

function findNotice(library, name) {
  const folders = ['.', '..', '../..'].map(up => path.join(path.dirname(library), up))
  const found = folders.map(folder => path.join(folder, name)).find(file => fs.existsSync(file))
  if (!found)
    throw new Error(`${library}: expected ONNX Runtime's ${name} beside it or above, found none`)
  return found
}

function copyStripped(from, to) {
  fs.mkdirSync(path.dirname(to), { recursive: true })
  fs.copyFileSync(from, to)
  execFileSync('strip', ['--strip-unneeded', to])
  fs.chmodSync(to, 0o755)
}

/** Adds ONNX Runtime and its notices to a platform package. */
function addOnnxruntime(folder, onnxruntime) {
  // Put the library into lib/, not beside the addon: the addon would prefer a library beside itself
  // over the application's own copy. lib/addon.js decides which one to use.
  const library = fs.realpathSync(onnxruntime)
  fs.mkdirSync(path.join(folder, 'lib'))
  fs.copyFileSync(library, path.join(folder, 'lib', 'libonnxruntime.so.1'))
  fs.copyFileSync(findNotice(library, 'LICENSE'), path.join(folder, 'LICENSE.onnxruntime'))
  fs.copyFileSync(
    findNotice(library, 'ThirdPartyNotices.txt'),
    path.join(folder, 'ThirdPartyNotices.onnxruntime.txt')
  )
  return ['lib', 'LICENSE.onnxruntime', 'ThirdPartyNotices.onnxruntime.txt']
}

/**
 * Packs the package with the native files for the platform of this machine. Without `onnxruntime`,
 * this is the slim package.
 */
function packPlatform(manifest, platform, { build, onnxruntime, out }) {
  const name = onnxruntime ? platform : `${platform}-slim`
  const folder = stage(out, name)
  copyStripped(path.join(build, 'lib', 'sidecall.node'), path.join(folder, 'sidecall.node'))
  copyStripped(path.join(build, 'bin', 'sidecall'), path.join(folder, 'bin', 'sidecall'))
  fs.copyFileSync(
    path.join(source, 'ThirdPartyNotices.md'),
    path.join(folder, 'ThirdPartyNotices.md')
  )
  const files = ['sidecall.node', 'bin', 'ThirdPartyNotices.md']
  if (onnxruntime) files.push(...addOnnxruntime(folder, onnxruntime))
  const content = onnxruntime
    ? "addon, command, and Microsoft's ONNX Runtime (MIT)."
    : 'addon and command, without ONNX Runtime.'
  const text = `The native part of sidecall for ${platform}: ${content}`
  fs.writeFileSync(path.join(folder, 'README.md'), `# @sidecall/${name}\n\n${text}\n`)
  writeJson(path.join(folder, 'package.json'), {
    name: `@sidecall/${name}`,
    version: manifest.version,
    description: `The native part of sidecall for ${platform}${onnxruntime ? '' : ', without ONNX Runtime'}`,
    license: 'Apache-2.0 AND MIT AND BSD-3-Clause',
    author: manifest.author,
    engines: manifest.engines,
    os: [process.platform],
    cpu: [process.arch],
    libc: ['glibc'],
    type: 'commonjs',
    preferUnplugged: true,
    files
  })
  pack(folder, out)
}

function main() {
  const options = parse()
  const manifest = readJson(path.join(source, 'package.json'))
  const version = fs.readFileSync(path.join(root, 'VERSION'), 'utf8').trim()
  if (manifest.version !== version)
    throw new Error(
      `package.json: expected version ${version} as in VERSION, got ${manifest.version}`
    )
  const platform = `${process.platform}-${process.arch}`
  if (!platforms.includes(platform))
    throw new Error(`expected one of ${platforms.join(', ')}, got ${platform}`)
  const slim = path.join(options.out, 'slim')
  fs.mkdirSync(slim, { recursive: true })
  packMain(manifest, platform, options.out)
  packPlatform(manifest, platform, options)
  packPlatform(manifest, platform, { build: options.build, out: slim })
  for (const out of [options.out, slim]) fs.rmSync(path.join(out, 'stage'), { recursive: true })
}

try {
  main()
} catch (error) {
  process.stderr.write(`sidecall: ${error.message}\n`)
  process.exit(1)
}
