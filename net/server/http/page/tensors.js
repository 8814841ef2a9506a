// A request on tensors, for models without a contract.
const MOST_ELEMENTS = 256
const TYPES_IN_JSON = /^(?:BOOL|BYTES|FP32|FP64|U?INT(?:8|16|32|64))$/

const example = { BOOL: 'false', BYTES: '"text"' }

// The JSON of a request that fills each input with zeros; free dimensions become 1. null if the
// inputs do not fit into a readable text of JSON.
export function inferBody(inputs) {
  const parts = []
  for (const { name, datatype, shape } of inputs) {
    const dims = shape.map(dim => Math.max(Number(dim), 1))
    const count = dims.reduce((product, dim) => product * dim, 1)
    if (count > MOST_ELEMENTS || !TYPES_IN_JSON.test(datatype)) return null
    const data = Array(count)
      .fill(example[datatype] ?? '0')
      .join(', ')
    parts.push(
      `    {"name": ${JSON.stringify(name)}, "datatype": ${JSON.stringify(datatype)}, ` +
        `"shape": [${dims.join(', ')}], "data": [${data}]}`
    )
  }
  return `{\n  "inputs": [\n${parts.join(',\n')}\n  ]\n}`
}
