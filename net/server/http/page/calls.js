// Programs that make the call which the form describes, in each language, for people to copy.
import { Digits } from './exact.js'

// `target`: { uri, url, record, hasToken }. `uri` is what sidecall opens, `url` is the route, and
// `record` is a list of names and values. Features that are missing are left out of it. `hasLists`:
// an output is a list.

// A text of JSON is also a text of Python, JavaScript, Go and Java.
const quoted = text => JSON.stringify(text)
const shellQuoted = text => `'${text.replaceAll("'", "'\\''")}'`

const isWhole = value => /^-?\d+$/.test(value.text)
// How a value is written: booleans by their names, whole numbers by `whole`.
function literal(value, { no = 'false', yes = 'true', whole = text => text } = {}) {
  if (typeof value === 'boolean') return value ? yes : no
  if (value instanceof Digits) return isWhole(value) ? whole(value.text) : value.text
  return quoted(value)
}

const fits = (text, bits) => BigInt.asIntN(bits, BigInt(text)) === BigInt(text)
const longest = text => (fits(text, 64) ? text : `${text}.0`)
const inGo = { whole: longest }
const inJava = { whole: text => (fits(text, 32) || !fits(text, 64) ? longest(text) : `${text}L`) }
const inNode = {
  whole: text => (Number.isSafeInteger(Number(text)) || !fits(text, 64) ? text : `${text}n`)
}
const inPython = { no: 'False', yes: 'True' }

// The members of a record on lines of their own.
function lines(record, indent, line) {
  return record.map(([name, value]) => `\n${indent}${line(name, value)}`).join('')
}

function jsonOf(record, indent = '') {
  const members = lines(
    record,
    `${indent}  `,
    (name, value) => `${quoted(name)}: ${literal(value)},`
  )
  return record.length === 0 ? '{}' : `{${members.slice(0, -1)}\n${indent}}`
}

// The URI as a string of the language.
const uriOf = target => quoted(target.hasToken ? `${target.uri}?token=token.txt` : target.uri)
// A comment before the line that opens the model, with its line end and the indent of that line.
const tokenNote = (target, comment, indent = '') =>
  target.hasToken ? `${comment} The file token.txt has the token.\n${indent}` : ''

export function curlOf(url, body, hasToken) {
  const token = hasToken ? ' \\\n  -H "Authorization: Bearer $(cat token.txt)"' : ''
  return `curl --json ${shellQuoted(body)}${token} \\\n  ${shellQuoted(url)}`
}

function python(target) {
  const members = lines(
    target.record,
    '    ',
    (name, value) => `${quoted(name)}: ${literal(value, inPython)},`
  )
  return `import sidecall

${tokenNote(target, '#')}model = sidecall.open(${uriOf(target)})
record = {${members}
}
print(model.predict(record))`
}

function node(target) {
  const members = target.record.map(
    // In an object of JavaScript, this name alone would set the prototype.
    ([name, value]) =>
      `${name === '__proto__' ? '["__proto__"]' : quoted(name)}: ${literal(value, inNode)}`
  )
  return `import { open } from 'sidecall'

${tokenNote(target, '//')}const model = await open(${uriOf(target)})
const record = {
  ${members.join(',\n  ')}
}
console.log(await model.predict(record))`
}

function go(target) {
  const members = lines(
    target.record,
    '\t\t',
    (name, value) => `${quoted(name)}: ${literal(value, inGo)},`
  )
  return `package main

import (
	"context"
	"fmt"
	"log"

	"sidecall.dev/sidecall"
)

func main() {
	${tokenNote(target, '//', '\t')}model, err := sidecall.Open(${uriOf(target)})
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	answer, err := model.Predict(context.Background(), map[string]any{${members}
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer)
}`
}

function java(target) {
  const members = target.record.map(
    ([name, value]) => `Map.entry(${quoted(name)}, ${literal(value, inJava)})`
  )
  // Java prints the address of an array instead of its elements.
  const [imported, shown] = target.hasLists
    ? [
        'import java.util.Arrays;\n',
        'Arrays.deepToString(model.predict(record).values().toArray())'
      ]
    : ['', 'model.predict(record)']
  return `import dev.sidecall.Sidecall;
${imported}import java.util.Map;

public class Main {
  public static void main(String[] args) {
    ${tokenNote(target, '//', '    ')}try (var model = Sidecall.open(${uriOf(target)})) {
      Map<String, Object> record = Map.ofEntries(
          ${members.join(',\n          ')});
      System.out.println(${shown});
    }
  }
}`
}

function rust(target) {
  const raw = text => {
    let marks = '#'
    while (text.includes(`"${marks}`)) marks += '#'
    return `r${marks}"${text}"${marks}`
  }
  return `fn main() -> sidecall::Result<()> {
    ${tokenNote(target, '//', '    ')}let model = sidecall::Model::open(${uriOf(target)})?;
    let record = ${raw(jsonOf(target.record, '    '))};
    println!("{}", model.predict_json(record)?);
    Ok(())
}`
}

// Each: the title of the tab, what the program needs, and a function that writes it.
export const recordCalls = [
  {
    title: 'curl',
    needs: 'curl 7.82 or newer.',
    write: target => curlOf(target.url, jsonOf(target.record), target.hasToken)
  },
  { title: 'Python', needs: 'pip install "sidecall[net]"', write: python },
  { title: 'Node.js', needs: 'npm install sidecall @sidecall/linux-x64-net', write: node },
  { title: 'Go', needs: 'The module sidecall.dev/sidecall, and libsidecall-net.so.', write: go },
  { title: 'Java', needs: 'The jar dev.sidecall, and libsidecall-net.so.', write: java },
  { title: 'Rust', needs: 'The crate sidecall, and libsidecall-net.so.', write: rust }
]
