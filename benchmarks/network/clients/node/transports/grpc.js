// gRPC with @grpc/grpc-js. All callers share one channel, as gRPC's documentation recommends.
'use strict'

const path = require('node:path')
const { peer } = require('../modules.js')

const PROTO = path.join(__dirname, '..', '..', '..', 'servers', 'prediction.proto')

/** Loads the service's definition; `sizes` receives the lengths of the last call's messages. */
function load(sizes) {
  const service = peer('@grpc/proto-loader').loadSync(PROTO, { longs: Number, defaults: true })[
    'prediction.Prediction'
  ]
  for (const method of Object.values(service)) {
    const { requestSerialize, responseDeserialize } = method
    method.requestSerialize = message => {
      const bytes = requestSerialize(message)
      sizes.request = bytes.length
      return bytes
    }
    method.responseDeserialize = bytes => {
      sizes.response = bytes.length
      return responseDeserialize(bytes)
    }
  }
  return service
}

const toValue = value => (typeof value === 'string' ? { text: value } : { number: value })

/**
 * The conversions to and from the messages of prediction.proto, for a workload of records or
 * tensors.
 */
function describe(work) {
  if (work.kind === 'record') {
    const toMessage = record => {
      const features = {}
      for (const name in record) if (record[name] !== null) features[name] = toValue(record[name])
      return { model: work.name, features }
    }
    return {
      method: 'PredictRecord',
      ask: i => work.record(i),
      toMessage,
      read: answer => work.readRecord(answer)
    }
  }
  const hasLabels = work.outputs.some(({ name }) => name === 'label')
  return {
    method: 'Predict',
    ask: i => work.nested(i).flat(Infinity),
    toMessage: values => ({ model: work.name, shape: work.dims, values }),
    read: ({ label, values }) => ({ labels: hasLabels ? label : undefined, values: [values] })
  }
}

module.exports = async (work, { target }) => {
  const grpc = peer('@grpc/grpc-js')
  const sizes = { request: 0, response: 0 }
  const Client = grpc.makeClientConstructor(load(sizes), 'Prediction')
  const client = new Client(target, grpc.credentials.createInsecure(), {
    'grpc.enable_http_proxy': 0
  })
  const { method, ask, toMessage, read } = describe(work)
  const call = asked =>
    new Promise((resolve, reject) => {
      client[method](toMessage(asked), (error, answer) => (error ? reject(error) : resolve(answer)))
    })
  return { ask, call, read, sizes, close: () => client.close() }
}
