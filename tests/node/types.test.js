// The declarations that `sidecall types` writes: they compile, accept exactly the features of a
// model and refuse the rest.
'use strict'

const assert = require('node:assert/strict')
const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')

const { openSync } = require('../../bindings/node')
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

/** What `sidecall types` writes for a model file. */
function declarationOf(file, ...options) {
  const words = ['types', file, ...options]
  const done = spawnSync(command, words, { encoding: 'utf8', maxBuffer: 2 ** 28 })
  assert.deepEqual([done.status, done.stderr], [0, ''])
  return done.stdout
}

/** The declaration of one of the unusual models, which are bytes. */
function oddDeclaration(name) {
  const file = path.join(temporaryFolder(), 'odd.onnx')
  fs.writeFileSync(file, oddModels[name])
  return declarationOf(file, '--name', name)
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
      openSync(modelPath(file), { verify: 'off' }).close()
      opened.push([`Vector${opened.length}`, modelPath(file)])
    } catch (error) {
      assert.equal(error.name, 'SidecallError')
    }
  }
  return opened
}

test('declarations of unusual models accept every valid use and refuse every invalid one', () => {
  const folder = projectFolder()
  // All declarations are in one file, so the import line occurs once.
  const texts = Object.keys(oddModels).map(oddDeclaration)
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
  for (const [name, file] of opened) {
    fs.writeFileSync(path.join(folder, `${name}.ts`), declarationOf(file, '--name', name))
    fs.writeFileSync(
      path.join(folder, `${name}.use.ts`),
      `import { open } from 'sidecall'\nimport type { ${name} } from './${name}.js'\nexport const model = open<${name}>('m')\n`
    )
  }
  assert.equal(compile(folder), '')
})

test('declarations compile for an older target, without @types/node and the library dom', () => {
  const folder = projectFolder({ target: 'es2015', lib: ['es2020'] })
  fs.writeFileSync(path.join(folder, 'kinds.ts'), oddDeclaration('Kinds'))
  fs.writeFileSync(path.join(folder, 'half.ts'), oddDeclaration('Half'))
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
    fs.writeFileSync(path.join(folder, 'one.ts'), oddDeclaration('One'))
    fs.writeFileSync(path.join(folder, 'use.ts'), useOne(body))
    assert.match(compile(folder), error)
  }
})

test('a declaration is named after the model', () => {
  const text = declarationOf(modelPath('penguins.onnx'))
  assert.match(text, /export interface Penguins /)
  assert.equal(declarationOf(modelPath('penguins.onnx'), '--name', 'Penguins'), text)
})

test('a name that is not a free TypeScript identifier is refused', () => {
  for (const name of ['', 'a b', 'class', 'any', 'Tensor', 'x}', 'größe']) {
    const words = ['types', modelPath('penguins.onnx'), '--name', name]
    const done = spawnSync(command, words, { encoding: 'utf8' })
    assert.deepEqual([done.status, done.stdout], [1, ''])
    assert.match(done.stderr, /: name: expected /)
  }
})
