// The declarations that `sidecall types` writes: they compile, accept exactly the features of a
// model and refuse the rest.
'use strict'

const assert = require('node:assert/strict')
const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')

const { open, openSync } = require('../../bindings/node')
const oddModels = require('./support/odd_models.js')
const { command, modelPath, packageFolder, temporaryFolder } = require('./support/paths.js')
const { loadCases } = require('./support/vector_cases.js')

const COMPILER_OPTIONS = {
  strict: true,
  noEmit: true,
  noUnusedLocals: true,
  exactOptionalPropertyTypes: true,
  noPropertyAccessFromIndexSignature: false,
  target: 'es2022',
  module: 'nodenext',
  lib: ['es2022', 'esnext.disposable', 'dom'],
  types: []
}

/** A program with an open model of the declaration One, whose only feature is `price`. */
const useOne = body =>
  "import { open } from 'sidecall'\nimport type { One } from './one.js'\n" +
  `export const p = async () => { const model = await open<One>('m'); ${body} }\n`

/** Creates a folder in which `import ... from 'sidecall'` finds the package. */
function projectFolder(options = {}) {
  const folder = temporaryFolder()
  fs.mkdirSync(path.join(folder, 'node_modules'))
  fs.symlinkSync(packageFolder, path.join(folder, 'node_modules', 'sidecall'))
  fs.writeFileSync(
    path.join(folder, 'tsconfig.json'),
    JSON.stringify({ compilerOptions: { ...COMPILER_OPTIONS, ...options }, include: ['*.ts'] })
  )
  return folder
}

/** The output of the compiler; '' if there are no errors. */
function compile(folder) {
  const tsc = path.join(packageFolder, 'node_modules', 'typescript', 'bin', 'tsc')
  const done = spawnSync(process.execPath, [tsc, '--project', folder, '--pretty', 'false'], {
    cwd: folder,
    encoding: 'utf8',
    maxBuffer: 2 ** 28
  })
  assert.equal(done.error, undefined)
  return done.stdout + done.stderr
}

/** Every model of the vectors that opens, with a name for its declaration. */
function openedVectors() {
  const files = new Set([...loadCases().values()].map(({ model }) => model))
  const opened = []
  for (const file of files) {
    try {
      opened.push([`Vector${opened.length}`, openSync(modelPath(file), { verify: 'off' })])
    } catch (error) {
      assert.equal(error.name, 'SidecallError')
    }
  }
  return opened
}

test('declarations of unusual models accept every valid use and refuse every invalid one', () => {
  const folder = projectFolder()
  // All declarations are in one file, so the import line occurs once.
  const texts = Object.entries(oddModels).map(([name, bytes]) => openSync(bytes).types(name))
  const bodies = texts.map(text => text.replace(/^import .*\n/, ''))
  const imports = "import type { Float16Data, Tensor, TensorLike } from 'sidecall'\n"
  fs.writeFileSync(path.join(folder, 'declarations.d.ts'), imports + bodies.join('\n'))
  fs.copyFileSync(path.join(__dirname, 'types', 'uses.ts'), path.join(folder, 'uses.ts'))
  assert.equal(compile(folder), '')
})

test('the declaration of every model of the vectors compiles by itself', () => {
  const folder = projectFolder({ noUncheckedIndexedAccess: true, verbatimModuleSyntax: true })
  fs.writeFileSync(path.join(folder, 'package.json'), '{"type": "module"}')
  const opened = openedVectors()
  assert.ok(opened.length >= 50, `${opened.length} models`)
  for (const [name, model] of opened) {
    fs.writeFileSync(path.join(folder, `${name}.ts`), model.types(name))
    fs.writeFileSync(
      path.join(folder, `${name}.use.ts`),
      `import { open } from 'sidecall'\nimport type { ${name} } from './${name}.js'\nexport const model = open<${name}>('m')\n`
    )
  }
  assert.equal(compile(folder), '')
})

test('declarations compile for an older target, without @types/node and the library dom', () => {
  const folder = projectFolder({ target: 'es2015', lib: ['es2020'] })
  fs.writeFileSync(path.join(folder, 'kinds.ts'), openSync(oddModels.Kinds).types('Kinds'))
  fs.writeFileSync(path.join(folder, 'half.ts'), openSync(oddModels.Half).types('Half'))
  assert.equal(compile(folder), '')
})

test('a wrong record causes one compiler error, which names the feature', () => {
  for (const [body, error] of [
    [
      'return model.predict({ prize: 1 })',
      /^use\.ts\(3,\d+\): error .*'prize' does not exist in .*\n$/
    ],
    [
      'return model.predictSync([{ price: 1 }, { prize: 1 }])',
      /^use\.ts\(3,\d+\): error .*'prize' does not exist in .*\n$/
    ],
    [
      "return model.predictSync({ price: 'x' })",
      /^use\.ts\(3,\d+\): error .*'string' is not assignable to type 'number'\.\n$/
    ],
    [
      "return model.predict([{ price: 'x' }])",
      /^use\.ts\(3,\d+\): error .*'string' is not assignable to type 'number'\.\n$/
    ]
  ]) {
    const folder = projectFolder()
    fs.writeFileSync(path.join(folder, 'one.ts'), openSync(oddModels.One).types('One'))
    fs.writeFileSync(path.join(folder, 'use.ts'), useOne(body))
    assert.match(compile(folder), error)
  }
})

test('the command and both ways to open a model write the same declaration', async () => {
  const file = modelPath('penguins.onnx')
  const done = spawnSync(command, ['types', file], { encoding: 'utf8' })
  assert.deepEqual([done.status, done.stderr], [0, ''])
  assert.equal(openSync(file).types(), done.stdout)
  assert.equal((await open(file)).types('Penguins'), done.stdout)
  assert.match(done.stdout, /export interface Penguins /)
})

test('a name that is not a free TypeScript identifier is refused', () => {
  const model = openSync(modelPath('penguins.onnx'))
  for (const name of ['', 'a b', 'class', 'any', 'Tensor', 'x}', 'größe']) {
    assert.throws(() => model.types(name), {
      name: 'SidecallError',
      code: 'INVALID_ARGUMENT',
      message: /^name: expected /
    })
  }
  for (const name of [1, null, {}, Symbol('x')]) assert.throws(() => model.types(name), TypeError)
})
