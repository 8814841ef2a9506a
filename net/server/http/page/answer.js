// Shows answers and errors.
import { plain } from './contract.js'
import { element, limited, nameOf, table } from './elements.js'
import { Digits, isObject, write } from './exact.js'

const MOST_ROWS = 20

const percent = new Intl.NumberFormat('en', { style: 'percent', maximumFractionDigits: 1 })

// JSON has no NaN, so an answer has null for it.
const resultOf = value => (value === null ? 'not a number' : plain(value))

function probabilityText(value) {
  const number = Number(value)
  return number > 0 && number < 0.0005 ? '< 0.1%' : percent.format(number)
}

// The rows of a table of values, each with a name. For probabilities each row has a bar too.
function valueRow(name, value, isProbability) {
  const cells = [
    element('th', { role: 'rowheader', scope: 'row' }, name),
    element('td', { role: 'cell', class: 'exact' }, resultOf(value))
  ]
  if (isProbability) {
    const bar = element('span', { class: 'bar-fill' })
    bar.style.width = `${Math.min(Math.max(Number(value) || 0, 0), 1) * 100}%`
    cells.push(
      element('td', { role: 'cell', class: 'percent' }, probabilityText(value)),
      element('td', { class: 'bar', 'aria-hidden': 'true' }, bar)
    )
  }
  return element('tr', { role: 'row' }, ...cells)
}

function valueTable(label, rows, columns) {
  const body = element('tbody', { role: 'rowgroup' })
  const head = columns.map(text => element('th', { role: 'columnheader', scope: 'col' }, text))
  const made = element(
    'table',
    { role: 'table', class: 'values', 'aria-label': label },
    element(
      'thead',
      { role: 'rowgroup', class: 'unseen' },
      element('tr', { role: 'row' }, ...head)
    ),
    body
  )
  const more = limited(rows, MOST_ROWS, some => body.append(...some))
  return [made, more].filter(each => each !== null)
}

function membersOf(value, output) {
  // A JavaScript object sorts keys that look like numbers. The contract has the right order.
  const known = (output?.classes ?? []).map(plain).filter(name => Object.hasOwn(value, name))
  const names = known.length === Object.keys(value).length ? known : Object.keys(value)
  return names.map(name => [name, value[name]])
}

// One output of an answer.
function outputOf(name, value, output) {
  const title = element('h3', {}, nameOf(name))
  if (isObject(value)) {
    const isProbability = output?.role === 'probabilities'
    // The most likely class first.
    const members = membersOf(value, output).sort((a, b) => Number(b[1]) - Number(a[1]))
    const rows = members.map(([each, number]) => valueRow(nameOf(each), number, isProbability))
    const columns = isProbability ? ['class', 'probability', 'percent'] : ['class', 'value']
    return [title, ...valueTable(name, rows, columns)]
  }
  if (Array.isArray(value)) {
    const rows = value.map((each, i) => valueRow(nameOf(`${name}.${i}`), each, false))
    return [title, ...valueTable(name, rows, ['column', 'value'])]
  }
  const shown = resultOf(value)
  const kind = value instanceof Digits ? 'result number' : 'result'
  return [
    title,
    element('p', { class: kind }, shown === '' ? nameOf('') : element('bdi', {}, shown))
  ]
}

function asJson(value) {
  return element(
    'details',
    {},
    element('summary', {}, 'Answer as JSON'),
    element(
      'div',
      { class: 'code', tabindex: '0', role: 'region', 'aria-label': 'Answer as JSON' },
      element('pre', {}, element('code', {}, write(value)))
    )
  )
}

// The answer for one record.
export function showAnswer(place, answer, outputs) {
  const named = new Map(outputs.map(output => [output.name, output]))
  const names = [...named.keys(), ...Object.keys(answer)]
  const parts = [...new Set(names)]
    .filter(name => Object.hasOwn(answer, name))
    .flatMap(name => outputOf(name, answer[name], named.get(name)))
  place.replaceChildren(...parts, asJson(answer))
}

// In a few words, for screen readers.
export function summaryOf(answer, outputs) {
  const main = outputs.find(({ role }) => role === 'label' || role === 'prediction') ?? outputs[0]
  const value = main === undefined ? undefined : answer[main.name]
  if (value === undefined || value === null || isObject(value) || Array.isArray(value))
    return 'Answer'
  const shares = outputs.find(({ role }) => role === 'probabilities')
  const share = shares === undefined ? undefined : answer[shares.name]?.[plain(value)]
  return `${main.name}: ${plain(value)}${share === undefined ? '' : `, ${probabilityText(share)}`}`
}

// Outputs of tensors, as /infer gives them.
export function showTensors(place, answer) {
  const rows = answer.outputs.map(({ name, datatype, shape, data }) => [
    nameOf(name),
    datatype,
    `[${shape.join(', ')}]`,
    element('code', {}, shortened(data))
  ])
  place.replaceChildren(table('Outputs', ['Name', 'Type', 'Shape', 'Values'], rows), asJson(answer))
}

function shortened(data) {
  const flat = (data ?? []).flat(Infinity)
  const shown = flat.slice(0, MOST_ROWS).map(plain).join(', ')
  return flat.length > MOST_ROWS ? `${shown} and ${flat.length - MOST_ROWS} more` : shown
}

// The sentence of a fault: "Expected float32, got string."
export function faultText(fault) {
  const got = fault.got === undefined ? '' : `, got ${plain(fault.got)}`
  return fault.expected === undefined ? fault.status : `Expected ${plain(fault.expected)}${got}.`
}

// An error of the server. `faults`: pairs of a fault and the field that it concerns, or undefined.
export function showError(place, text, faults) {
  const items = faults.map(([fault, field]) => {
    const about = fault.feature ?? fault.step ?? fault.output ?? fault.input ?? fault.column
    if (about === undefined) return element('li', {}, faultText(fault))
    const name = nameOf(plain(about))
    return element(
      'li',
      {},
      field === undefined ? name : linkTo(field, name),
      ': ',
      faultText(fault)
    )
  })
  place.replaceChildren(
    element(
      'div',
      { class: 'problem' },
      items.length === 0 ? element('p', {}, element('bdi', {}, text)) : element('ul', {}, ...items)
    )
  )
}

function linkTo(field, name) {
  const link = element('a', { href: `#${field.id}` }, name)
  link.addEventListener('click', event => {
    event.preventDefault()
    field.focus()
  })
  return link
}
