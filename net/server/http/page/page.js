// The page of a server: reads what the model is from the server's own routes, makes the form from
// its contract, sends the record, and shows the answer.
import { faultText, showAnswer, showError, showTensors, summaryOf } from './answer.js'
import { curlOf, recordCalls } from './calls.js'
import { examplesOf, typeOf, valuesOf } from './contract.js'
import { element, limited, nameOf, table } from './elements.js'
import { isObject, parse, write } from './exact.js'
import { makeField } from './fields.js'
import { inferBody } from './tensors.js'

const MOST_VALUES = 8
const ID_DIGITS = 12

const at = id => document.getElementById(id)
const isVisible = (id, shown) => {
  at(id).hidden = !shown
}

// The page also works behind a gateway that puts a prefix before its paths.
const base = new URL('.', document.baseURI)

// The token is in no storage: it is gone when the page is closed.
let token = ''

class Refused extends Error {}

// Sends a request. Returns the status and the JSON of the answer.
async function request(path, body) {
  const headers = token === '' ? {} : { authorization: `Bearer ${token}` }
  if (body !== undefined) headers['content-type'] = 'application/json'
  const method = body === undefined ? 'GET' : 'POST'
  let response
  let text
  try {
    response = await fetch(new URL(path, base), { method, headers, body, cache: 'no-store' })
    text = await response.text()
  } catch {
    throw new Refused('The server cannot be reached. Does it still run?')
  }
  let answer
  try {
    answer = parse(text)
  } catch {
    throw new Refused(
      `Something other than this server answered, with the status ${response.status}.`
    )
  }
  return { status: response.status, answer }
}

async function read(path) {
  const { status, answer } = await request(path)
  if (status === 401) throw new TokenNeeded()
  if (status !== 200) throw new Refused(String(answer.error))
  return answer
}

class TokenNeeded extends Error {}

// What the server says about itself and its model.
async function load() {
  const server = await read('v2')
  const { models } = await read('v2/models')
  const name = models[0]
  const path = `v2/models/${encodeURIComponent(name)}`
  const metadata = await read(path)
  const text = metadata.properties['sidecall.contract']
  const contract = text === undefined ? null : parse(text)
  return { server, name, path, metadata, contract }
}

async function start() {
  isVisible('loading', true)
  isVisible('problem', false)
  try {
    const model = await load()
    isVisible('token-panel', false)
    show(model)
  } catch (error) {
    if (error instanceof TokenNeeded) askForToken()
    else {
      isVisible('problem', true)
      at('problem').textContent =
        error instanceof Refused ? error.message : `This page failed: ${error}`
    }
  }
  isVisible('loading', false)
}

// The token is asked for again when the server no longer takes it. The form stays as it is.
let afterToken = start

function askForToken(next = start) {
  afterToken = next
  const wasRefused = token !== ''
  isVisible('token-panel', true)
  isVisible('token-fault', wasRefused)
  at('token-fault').textContent = wasRefused ? 'The server does not take this token.' : ''
  if (wasRefused) at('token').setAttribute('aria-invalid', 'true')
  at('token').focus()
}

at('token-form').addEventListener('submit', event => {
  event.preventDefault()
  token = at('token').value.trim()
  at('token').removeAttribute('aria-invalid')
  if (/^[!-~]+$/.test(token)) {
    afterToken()
    return
  }
  token = ''
  isVisible('token-fault', true)
  at('token-fault').textContent = 'Expected visible ASCII without spaces.'
  at('token').setAttribute('aria-invalid', 'true')
})

function show(model) {
  showHead(model)
  isVisible('model', true)
  if (model.contract === null) showTensorModel(model)
  else showRecordModel(model)
}

function showHead({ server, name, metadata, contract }) {
  document.title = `${name} - sidecall`
  at('name').textContent = name
  const facts = []
  const add = (title, ...value) =>
    facts.push(element('div', {}, element('dt', {}, title), element('dd', {}, ...value)))
  if (metadata.versions.length > 0) add('Version', nameOf(metadata.versions[0]))
  if (contract !== null) {
    const { created, task } = contract.model
    if (task !== undefined) add('Task', task)
    if (created !== undefined) add('Exported', created.slice(0, 10))
  }
  if (metadata.properties['sidecall.golden_rows'] === 'passed') {
    add(
      'Golden rows',
      element('span', { class: 'good' }, `${contract?.verification?.rows ?? ''} passed`)
    )
  }
  const id = metadata.properties['sidecall.model_id']
  if (id !== undefined) {
    const rest = element('span', { class: 'unseen' }, id.slice(ID_DIGITS))
    add('Id', element('code', { title: id }, id.slice(0, ID_DIGITS), rest))
  }
  at('facts').replaceChildren(...facts)
  at('server').textContent = `sidecall ${server.version}`
  // A browser sends no token when it follows a link.
  isVisible('links', token === '')
}

// A model that takes records.

function showRecordModel(model) {
  const { contract, path } = model
  const examples = examplesOf(contract)
  const fields = contract.features.map((feature, i) =>
    makeField(
      feature,
      i,
      examples.map(({ values }) => values[i])
    )
  )
  at('fields').replaceChildren(...fields.map(field => field.element))
  const fill = index => {
    for (const [i, field] of fields.entries()) {
      field.set(examples[index].values[i])
      field.showFault(null)
    }
  }
  const record = () =>
    fields
      .map(field => [field.feature.name, field.value])
      .filter(([, value]) => value !== undefined)
  const { uri, url } = addresses(model)
  const calls = showCalls(recordCalls, () => ({
    uri,
    url: `${url}/predict`,
    record: record(),
    hasLists: contract.outputs.some(({ width }) => width !== undefined),
    hasToken: token !== ''
  }))

  at('example').replaceChildren(
    ...examples.map(({ title }, i) => element('option', { value: i }, title)),
    element('option', { value: '' }, 'Empty form')
  )
  at('example').addEventListener('change', () => {
    const chosen = at('example').value
    if (chosen === '') for (const field of fields) field.set(null)
    else fill(Number(chosen))
    calls()
  })
  fill(0)
  calls()
  at('form').addEventListener('input', calls)
  at('status').textContent = 'Fill in the form, then press Predict.'
  onSend(`${path}/predict`, () => bodyOf(record()), {
    show: answer => {
      showAnswer(at('answer'), answer, contract.outputs)
      return summaryOf(answer, contract.outputs)
    },
    fail: error => showFaults(error, fields)
  })
  showFeatures(contract)
}

// Written by hand, because a JavaScript object cannot hold every name (__proto__) and every number.
const bodyOf = record =>
  `{${record.map(([name, value]) => `${JSON.stringify(name)}:${write(value)}`).join(',')}}`

// Puts faults at their fields. Returns what the status says.
function showFaults(error, fields) {
  const byName = new Map(fields.map(field => [field.feature.name, field]))
  const faults = (error.faults ?? []).map(fault => [fault, byName.get(fault.feature)])
  const wrong = new Set()
  for (const [fault, field] of faults) {
    field?.showFault(faultText(fault))
    if (field !== undefined) wrong.add(field)
  }
  showError(at('answer'), textOf(error), faults)
  const first = fields.find(field => wrong.has(field))
  if (first === undefined) return 'The server refused the record.'
  first.focus()
  return `${counted(wrong.size, 'field', 'fields')} to correct`
}

const textOf = error => String(error.error ?? 'The server answered with an error.')
const counted = (count, one, many) => `${count} ${count === 1 ? one : many}`

function showFeatures({ features, outputs }) {
  const rows = features.map(feature => [
    nameOf(feature.name),
    typeOf(feature),
    feature.nullable ? 'yes' : 'no',
    valuesOf(feature).map(valuesElement)
  ])
  at('inputs').replaceChildren(
    table('Features', ['Feature', 'Type', 'May be missing', 'Values'], rows)
  )
  const made = outputs.map(output => [
    nameOf(output.name),
    output.type,
    output.role,
    shapeOf(output)
  ])
  at('outputs').replaceChildren(table('Outputs', ['Output', 'Type', 'Role', 'Values'], made))
}

function shapeOf({ classes, width, role }) {
  if (classes !== undefined) {
    const values = classes.map(each => (typeof each === 'string' ? each : write(each)))
    return valuesElement({ title: role === 'label' ? 'One of' : 'One for each of', values })
  }
  return width === undefined ? 'one value' : `${width} values`
}

function valuesElement({ title, text, values }) {
  const line = element('p', {}, `${title} `)
  if (values === undefined) {
    line.append(text)
    return line
  }
  const list = element('span', { class: 'value-list' })
  const more = limited(values, MOST_VALUES, some =>
    list.append(...some.map(value => element('span', { class: 'value' }, nameOf(value))))
  )
  line.append(list)
  if (more !== null) line.append(more)
  return line
}

// A model that takes tensors only.

function showTensorModel(model) {
  const { metadata, path } = model
  const describe = tensors =>
    tensors.map(({ name, datatype, shape }) => [nameOf(name), datatype, `[${shape.join(', ')}]`])
  const columns = ['Tensor', 'Type', 'Shape']
  at('inputs').replaceChildren(table('Inputs', columns, describe(metadata.inputs)))
  at('outputs').replaceChildren(table('Outputs', columns, describe(metadata.outputs)))
  document.querySelector('.examples').hidden = true
  const body = inferBody(metadata.inputs)
  const url = `${addresses(model).url}/infer`
  const text = element('textarea', { id: 'body', spellcheck: 'false', class: 'json' })
  text.value = body ?? '{"inputs": []}'
  text.rows = Math.min(text.value.split('\n').length + 3, 20)
  const label = element('label', { for: 'body' }, 'Request, as JSON')
  const note =
    'The model has no contract, so it takes tensors. A dimension of -1 may have any length.'
  at('fields').replaceChildren(
    element('div', { class: 'field' }, label, text, element('p', { class: 'hint' }, note))
  )
  at('send').textContent = 'Run'
  at('status').textContent = 'Edit the request, then press Run.'
  const calls = showCalls(
    [
      {
        title: 'curl',
        needs: 'curl 7.82 or newer.',
        write: () => curlOf(url, text.value, token !== '')
      }
    ],
    () => null
  )
  calls()
  text.addEventListener('input', calls)
  onSend(`${path}/infer`, () => text.value, {
    show: answer => {
      showTensors(at('answer'), answer)
      return 'Answer'
    },
    fail: error => {
      showError(at('answer'), textOf(error), [])
      return 'The server refused the request.'
    }
  })
}

// Sending.

function onSend(path, makeBody, { show: showResult, fail }) {
  let isSending = false
  const send = async () => {
    if (isSending) return
    isSending = true
    at('send').setAttribute('aria-disabled', 'true')
    try {
      const begun = performance.now()
      const { status, answer } = await request(path, makeBody())
      const took = performance.now() - begun
      if (status === 401) {
        askForToken(() => {
          isVisible('token-panel', false)
          send()
        })
      } else if (status === 200 && isObject(answer)) {
        const summary = showResult(answer)
        at('status').replaceChildren(
          element('span', { class: 'unseen' }, `${summary}. `),
          `Answered in ${took.toFixed(took < 10 ? 1 : 0)} ms, network included`
        )
        at('answer').scrollIntoView({ block: 'nearest' })
      } else at('status').textContent = fail(answer)
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      showError(at('answer'), error.message, [])
      at('status').textContent = 'No answer'
    } finally {
      isSending = false
      at('send').removeAttribute('aria-disabled')
    }
  }
  at('form').addEventListener('submit', event => {
    event.preventDefault()
    send()
  })
}

// Calls to copy.

function addresses({ name, path }) {
  const prefix = base.href.replace(/\/$/, '')
  return { uri: `${prefix}/${encodeURIComponent(name)}`, url: `${prefix}/${path}` }
}

// Makes the tabs. Returns a function that writes the call again, for what the form holds now.
function showCalls(calls, target) {
  let chosen = 0
  const update = () => {
    at('call-text').textContent = calls[chosen].write(target())
    at('call-needs').textContent = `Needs: ${calls[chosen].needs}`
  }
  const tabs = calls.map(({ title }, i) => {
    const tab = element(
      'button',
      { type: 'button', role: 'tab', id: `tab-${i}`, 'aria-controls': 'call' },
      title
    )
    tab.addEventListener('click', () => choose(i))
    return tab
  })
  const choose = index => {
    chosen = index
    for (const [i, tab] of tabs.entries()) {
      tab.setAttribute('aria-selected', String(i === index))
      tab.tabIndex = i === index ? 0 : -1
    }
    at('call').setAttribute('aria-labelledby', `tab-${index}`)
    update()
  }
  at('tabs').addEventListener('keydown', event => {
    const steps = { ArrowLeft: chosen - 1, ArrowRight: chosen + 1, Home: 0, End: tabs.length - 1 }
    const next = steps[event.key]
    if (next === undefined) return
    event.preventDefault()
    choose((next + tabs.length) % tabs.length)
    tabs[chosen].focus()
  })
  at('tabs').replaceChildren(...tabs)
  choose(0)
  at('copy').addEventListener('click', copy)
  return update
}

async function copy() {
  const text = at('call-text').textContent
  let isCopied = true
  try {
    await navigator.clipboard.writeText(text)
  } catch {
    // Over plain HTTP from another host there is no clipboard, so the text is only selected.
    getSelection().selectAllChildren(at('call-text'))
    isCopied = document.execCommand('copy')
  }
  const said = isCopied ? 'Copied' : 'Selected: press Ctrl+C to copy'
  at('copied').textContent = said
  at('copy').textContent = said
  setTimeout(() => {
    at('copy').textContent = 'Copy'
    at('copied').textContent = ''
  }, 2000)
}

start()
