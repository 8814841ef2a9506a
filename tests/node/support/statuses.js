// The statuses of sidecall.h that a failure can have, read from the header itself: name -> number.
'use strict'

const fs = require('node:fs')
const path = require('node:path')

const { root } = require('./paths.js')

function readStatuses() {
  const header = fs.readFileSync(path.join(root, 'include', 'sidecall', 'sidecall.h'), 'utf8')
  const start = header.indexOf('#define SIDECALL_OK 0')
  const part = header.slice(start, header.indexOf('sidecall_status_name'))
  const found = [...part.matchAll(/^#define SIDECALL_(\w+) (\d+)/gm)].map(([, name, number]) => [
    name,
    Number(number)
  ])
  return new Map(found.filter(([name]) => name !== 'OK'))
}

module.exports = { statuses: readStatuses() }
