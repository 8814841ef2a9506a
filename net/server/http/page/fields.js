// The form: one field for each feature of the contract, with the control that fits its type.
import { datetimeExample, hintOf, isNumber, plain } from './contract.js'
import { element, nameOf } from './elements.js'
import { readNumber } from './exact.js'

const LONG_TEXT = 60
const MISSING = 'missing'

// What all fields have: a label, a hint, a place for a fault.
class Field {
  constructor(feature, index) {
    this.feature = feature
    this.id = `feature-${index}`
    this.fault = element('p', { class: 'fault', id: `${this.id}-fault`, hidden: true })
    this.hint = element('p', { class: 'hint', id: `${this.id}-hint` }, hintOf(feature))
  }

  build(control, ...beside) {
    this.control = control
    control.id = this.id
    control.setAttribute('aria-describedby', `${this.id}-fault ${this.id}-hint`)
    const label = element('label', { for: this.id }, nameOf(this.feature.name))
    const head = element('div', { class: 'field-head' }, label, ...beside)
    this.element = element('div', { class: 'field' }, head, control, this.fault, this.hint)
    // A fault is about the value that was sent.
    this.element.addEventListener('input', () => this.showFault(null))
  }

  showFault(text) {
    this.fault.hidden = text === null
    this.fault.textContent = text ?? ''
    if (text === null) this.control.removeAttribute('aria-invalid')
    else this.control.setAttribute('aria-invalid', 'true')
  }

  focus() {
    this.control.focus()
  }
}

// One of a list of values: bools, and features with `allowed`.
class Choice extends Field {
  constructor(feature, index) {
    super(feature, index)
    this.values = feature.allowed ?? [false, true]
    const options = this.values.map((value, i) =>
      element('option', { value: i }, value === '' ? '(empty text)' : plain(value))
    )
    if (feature.nullable) options.push(element('option', { value: '' }, MISSING))
    this.build(element('select', {}, ...options))
  }

  // undefined stands for a missing value.
  get value() {
    return this.control.value === '' ? undefined : this.values[Number(this.control.value)]
  }

  set(value) {
    const found = this.values.findIndex(each => plain(each) === plain(value) && value !== null)
    this.control.value = found < 0 ? '' : String(found)
  }
}

// A number, a text or a datetime. A number is typed as text, because the number field of a browser
// accepts a decimal comma in some languages, and does not report text that it cannot read.
class Typed extends Field {
  constructor(feature, index, examples) {
    super(feature, index)
    const { min, categories = [] } = feature.seen ?? {}
    const texts = [...categories, ...examples].filter(value => typeof value === 'string')
    const isText = feature.type === 'string'
    const isLong = isText && texts.some(text => text.length > LONG_TEXT || /[\r\n]/.test(text))
    this.examples = new Map()
    const common = { spellcheck: 'false', autocapitalize: 'off', dir: isText ? 'auto' : null }
    let list = null
    if (isLong) this.build(element('textarea', { rows: 4, ...common }), this.missingBox())
    else {
      // The decimal keyboard of phones has no minus sign.
      const keys = isNumber(feature) && Number(min) >= 0 ? 'decimal' : null
      const input = element('input', { type: 'text', inputmode: keys, ...common })
      if (isText && categories.length > 0) {
        const options = categories.map(value => element('option', { value: plain(value) }))
        list = element('datalist', { id: `${this.id}-list` }, ...options)
        input.setAttribute('list', list.id)
      }
      this.build(input, this.missingBox())
    }
    if (list !== null) this.element.append(list)
    if (feature.type === 'datetime') {
      const example = element('span', { class: 'unbroken' }, datetimeExample(feature))
      this.hint.append(', such as ', example)
    }
    this.control.addEventListener('input', () => {
      const isEmpty = this.control.value === ''
      // An empty text is a value. Nothing else is written as an empty field.
      if (this.box !== null) this.box.checked = isEmpty && !isText
      this.showMissing()
    })
  }

  missingBox() {
    this.box = null
    if (!this.feature.nullable) return null
    const name = `${MISSING}: ${this.feature.name}`
    this.box = element('input', { type: 'checkbox', 'aria-label': name })
    this.box.addEventListener('change', () => {
      if (this.box.checked) this.control.value = ''
      else this.control.focus()
      this.showMissing()
    })
    return element('label', { class: 'missing' }, this.box, MISSING)
  }

  showMissing() {
    this.control.placeholder = this.isMissing() ? MISSING : ''
  }

  isMissing() {
    if (this.box?.checked) return true
    return this.control.value.trim() === '' && this.feature.type !== 'string'
  }

  get value() {
    if (this.isMissing()) return undefined
    const text = this.control.value
    // A control of one line drops line feeds. What was not edited is sent as it was given.
    if (this.given?.shown === text) return this.given.value
    // Text that is not a number is sent unchanged, and the server says what it expects.
    return isNumber(this.feature) ? (readNumber(text) ?? text) : text
  }

  set(value) {
    const isMissing = value === null || value === undefined
    if (this.box !== null) this.box.checked = isMissing
    this.control.value = isMissing ? '' : plain(value)
    this.given = isMissing ? null : { value, shown: this.control.value }
    this.showMissing()
  }
}

// `examples`: the values that the examples have for this feature.
export function makeField(feature, index, examples) {
  const isChoice = feature.allowed !== undefined || feature.type === 'bool'
  return isChoice ? new Choice(feature, index) : new Typed(feature, index, examples)
}
