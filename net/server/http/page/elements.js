// Makes elements. Texts of the model are hostile, so they only ever become text nodes and values.

// element('p', { class: 'hint' }, 'text', child): attributes that are null or false are left out.
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, '')
    else if (value !== null && value !== undefined && value !== false)
      made.setAttribute(name, value)
  }
  made.append(...children.filter(child => child !== null && child !== undefined))
  return made
}

// A name of the model. Its writing direction does not change that of the text around it.
export function nameOf(text) {
  return text === ''
    ? element('span', { class: 'quiet' }, '(empty)')
    : element('bdi', { class: 'name' }, text)
}

// A table. On narrow screens style.css shows each row as a card, in which the name of the column
// stands before each value. The roles keep it a table for screen readers.
export function table(label, columns, rows) {
  const head = columns.map(column => element('th', { role: 'columnheader', scope: 'col' }, column))
  const body = rows.map(row => {
    const cells = row.map((cell, i) =>
      i === 0
        ? element('th', { role: 'rowheader', scope: 'row' }, ...[cell].flat())
        : element(
            'td',
            { role: 'cell', 'data-column': columns[i] },
            element('div', {}, ...[cell].flat())
          )
    )
    return element('tr', { role: 'row' }, ...cells)
  })
  return element(
    'table',
    { role: 'table', class: 'sheet', 'aria-label': label },
    element('thead', { role: 'rowgroup' }, element('tr', { role: 'row' }, ...head)),
    element('tbody', { role: 'rowgroup' }, ...body)
  )
}

// The first items, and a button that adds the others. `add` puts items into the page.
export function limited(items, most, add) {
  add(items.slice(0, most))
  if (items.length <= most) return null
  const button = element('button', { type: 'button', class: 'more' }, `Show all ${items.length}`)
  button.addEventListener('click', () => {
    button.remove()
    add(items.slice(most))
  })
  return button
}
