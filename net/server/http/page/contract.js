// What the contract of a model says, in words and as examples. docs/contract.md has the format.
import { Digits, write } from './exact.js'

const KINDS = { string: 'text', bool: 'of true and false', datetime: 'date' }
const LARGEST = { float32: 3.4e38, float64: 1.79e308 }

const isNumberType = type => /^(?:u?int|float)\d+$/.test(type)
export const isNumber = feature => isNumberType(feature.type)
export const isFloat = feature => feature.type.startsWith('float')

export const plain = value =>
  value === null ? 'missing' : typeof value === 'string' ? value : write(value)

export function typeOf(feature) {
  if (feature.type !== 'datetime') return feature.type
  return feature.zone === undefined ? 'datetime without a zone' : `datetime, ${feature.zone}`
}

// The intervals that limit a number, in words. An end at the largest float is left out.
function domainOf(feature) {
  const largest = LARGEST[feature.type] ?? Infinity
  const ends = (feature.domain ?? []).map(([low, high]) => {
    const hasLow = typeof low !== 'string' && Number(low) > -largest
    const hasHigh = typeof high !== 'string' && Number(high) < largest
    if (hasLow && hasHigh) return String(low) === String(high) ? `${low}` : `${low} to ${high}`
    if (hasLow) return `at least ${low}`
    return hasHigh ? `at most ${high}` : null
  })
  return ends.length === 0 || ends.includes(null) ? null : ends.join(' or ')
}

// The short text below a field of the form.
export function hintOf(feature) {
  const parts = [typeOf(feature)]
  const domain = feature.type === 'datetime' ? null : domainOf(feature)
  if (domain !== null) parts.push(domain)
  const { min, max } = feature.seen ?? {}
  if (min !== undefined) parts.push(`trained on ${plain(min)} to ${plain(max)}`)
  return parts.join(', ')
}

// What the table says about values: pairs of a title and either texts or one sentence.
export function valuesOf(feature) {
  const said = []
  if (feature.allowed !== undefined)
    said.push({ title: 'Only', values: feature.allowed.map(plain) })
  const domain = domainOf(feature)
  if (domain !== null && feature.type !== 'datetime') said.push({ title: 'Takes', text: domain })
  const { min, max, categories } = feature.seen ?? {}
  if (min !== undefined) said.push({ title: 'Trained on', text: `${plain(min)} to ${plain(max)}` })
  // A closed list already shows the categories.
  if (categories !== undefined && feature.allowed === undefined)
    said.push({ title: 'Trained on', values: categories.map(plain) })
  if (feature.empty === false) said.push({ title: 'Takes', text: 'no empty text' })
  if (said.length === 0) said.push({ title: 'Any', text: KINDS[feature.type] ?? 'number' })
  return said
}

// The rows that the form can be filled with: { title, values }, with null for a missing value.
export function examplesOf(contract) {
  const rows = goldenRows(contract)
  if (rows.length > 0) return rows
  return [{ title: 'From the training data', values: contract.features.map(likelyValue) }]
}

function goldenRows(contract) {
  const { features, outputs = {}, rows } = contract.verification ?? {}
  if (!Array.isArray(features) || features.length !== contract.features.length) return []
  const answers = outputs.label ?? outputs.prediction
  const made = []
  for (let row = 0; row < Number(rows); ++row) {
    const values = features.map((column, i) => {
      const value = column[row]
      return isNumber(contract.features[i]) && value === 'nan' ? null : value
    })
    // JSON has no infinities, so a record cannot hold them.
    if (values.some((value, i) => isNumber(contract.features[i]) && typeof value === 'string'))
      continue
    const answer = answers?.[row]
    const isShown = answer !== undefined && !Array.isArray(answer) && answer !== null
    made.push({
      title: `Golden row ${row + 1}${isShown ? `: ${plain(answer) || '(empty)'}` : ''}`,
      values
    })
  }
  return made
}

// A value that the model probably takes, for contracts without golden rows.
function likelyValue(feature) {
  const { min, categories } = feature.seen ?? {}
  if (feature.allowed !== undefined) return feature.allowed[0] ?? null
  if (min !== undefined) return min
  if (categories !== undefined && categories.length > 0) return categories[0]
  if (feature.type === 'bool') return false
  if (feature.type === 'string') return 'text'
  if (feature.type === 'datetime') return datetimeExample(feature)
  const [low, high] = feature.domain?.[0] ?? []
  const includesZero = low === undefined || (Number(low) <= 0 && !(Number(high) < 0))
  return includesZero || typeof low === 'string' ? new Digits('0') : low
}

export const datetimeExample = feature =>
  feature.zone === undefined ? '2026-01-31T12:30:00' : '2026-01-31T12:30:00Z'
