// JavaScript that m2cgen generated from the LightGBM twin of the model. It takes one row and
// returns no label.
'use strict'

const path = require('node:path')

module.exports = async (work, { twin }) => {
  if (work.rows !== 1) throw new Error(`generated: expected 1 row, got ${work.rows}`)
  const score = require(`${twin}.js`)
  work.expect(path.join(work.folder, 'twin.f64'))
  return {
    ask: i => work.nested(i)[0],
    call: score,
    callSync: score,
    read: values => ({ labels: undefined, values: [values] })
  }
}
