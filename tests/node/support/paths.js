// Paths: the package under test, its command, the test vectors, and folders that are removed when
// the process ends.
'use strict'

const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const root = path.join(__dirname, '..', '..', '..')
const packageFolder = path.join(root, 'bindings', 'node')
const models = path.join(root, 'tests', 'vectors', 'models')
const command = path.join(process.env.SIDECALL_BUILD ?? path.join(root, 'build'), 'bin', 'sidecall')

/** Creates a folder that is removed when the process ends. */
function temporaryFolder() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'sidecall-node-'))
  process.on('exit', () => fs.rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** The path of a model of tests/vectors. */
const modelPath = name => path.join(models, name)

module.exports = { command, modelPath, models, packageFolder, root, temporaryFolder }
