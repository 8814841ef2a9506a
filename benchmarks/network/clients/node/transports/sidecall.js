// sidecall: a file in process, or a URI of a model elsewhere.
'use strict'

const { sidecall } = require('../modules.js')

module.exports = async (work, { uri }) => {
  const isElsewhere = /^[a-z+]+:/.test(uri)
  const model = await sidecall().open(uri, { allowExec: uri.startsWith('exec:') })
  const close = () => model.close()
  if (work.kind === 'record') {
    const read = answer => work.readRecord(answer)
    const callSync = isElsewhere ? undefined : record => model.predictSync(record)
    return {
      ask: i => work.record(i),
      call: record => model.predict(record),
      callSync,
      read,
      close
    }
  }
  const { name } = work.input
  const read = answer => work.readTensors(answer)
  const callSync = isElsewhere ? undefined : x => model.runSync({ [name]: x })
  return { ask: i => work.tensor(i), call: x => model.run({ [name]: x }), callSync, read, close }
}
