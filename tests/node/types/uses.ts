// Valid and invalid uses of the declarations of odd_models.js. types.test.js compiles this file;
// nothing in it runs.
import { open } from 'sidecall'
import type {
  AllOptional,
  Bare,
  Booleans,
  Half,
  Integers,
  Kinds,
  Length,
  Many,
  OddNames,
  One,
  Several,
  Words
} from './declarations.js'

declare const value: unknown
type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const yes = <_Holds extends true>(): void => {}

const record: Kinds['features'] = {
  f32: 1,
  i64: 1n,
  flag: true,
  word: 'x',
  level: 10,
  door: true,
  grade: 2.5
}

export async function everyType(): Promise<void> {
  const model = await open<Kinds>('kinds.onnx')
  await model.predict(record)
  await model.predict({ ...record, f64: null, maybe: 3, size: "it's", i64: 3, level: -20n })
  await model.predict({ ...record, maybe: null, size: null })
  const answer = model.predictSync(record)
  yes<Equal<typeof answer.label, 'no' | 'yes'>>()
  yes<Equal<keyof typeof answer.probabilities, 'no' | 'yes'>>()
  const answers = await model.predict([record, record])
  yes<Equal<(typeof answers)[number]['label'], 'no' | 'yes'>>()

  // @ts-expect-error a feature is missing
  await model.predict({ f32: 1, i64: 1n, flag: true, word: 'x', level: 10, door: true })
  // @ts-expect-error a feature that the model does not have
  await model.predict({ ...record, other: 1 })
  // @ts-expect-error a string is no number
  await model.predict({ ...record, f32: '1' })
  // @ts-expect-error a float takes no bigint
  await model.predict({ ...record, f64: 1n })
  // @ts-expect-error not nullable
  await model.predict({ ...record, i64: null })
  // @ts-expect-error outside of the closed list of strings
  await model.predict({ ...record, size: 'XL' })
  // @ts-expect-error outside of the closed list of integers
  await model.predict({ ...record, level: 11 })
  // @ts-expect-error outside of the closed list of booleans
  await model.predict({ ...record, door: false })
  // @ts-expect-error outside of the closed list of floats
  await model.predict({ ...record, grade: 2 })
  // @ts-expect-error no such label
  if (answer.label === 'maybe') return
  // @ts-expect-error no such class
  answer.probabilities.maybe
  // @ts-expect-error no such output
  answer.prediction
  // @ts-expect-error one record gives no list
  answer.map
  // @ts-expect-error a list of records where one is wrong
  await model.predict([record, { f32: 1 }])
}

export async function tensors(): Promise<void> {
  const bare = await open<Bare>('bare.onnx')
  const outputs = await bare.run({ x: new Float32Array(3) })
  yes<Equal<(typeof outputs.y)['dims'], readonly number[]>>()
  const first: number | undefined = outputs.y[0]
  bare.runSync({ x: [[1, 2, 3]] })
  bare.runSync({ x: { data: new Float32Array(3), dims: [1, 3] } })
  const call = bare.call({ rows: 1 })
  call.inputs.x.set([1, 2, 3])
  yes<Equal<typeof call.inputs.x, Float32Array>>()
  call.runSync()
  yes<Equal<typeof call.outputs, Readonly<Bare['outputs']>>>()
  const second: number | undefined = call.outputs.y[1]
  const reshaped: Float32Array = call.reshape('x', [2, 3])
  const texts = (await open<Words>('words.onnx')).call()
  texts.inputs.x = ['a']
  const words = (await open<Words>('words.onnx')).runSync({ x: ['a'] }).y
  yes<Equal<(typeof words)[number], string>>()
  ;(await open<Half>('half.onnx')).runSync({ x: new Uint16Array(1) })
  bare.runSync({ x: new Float64Array(3) })
  bare.runSync({ x: { data: new Float64Array(3), dims: [1, 3] } })

  // @ts-expect-error an array of another type
  bare.runSync({ x: new Int32Array(3) })
  // @ts-expect-error an array of another type, with its shape
  bare.runSync({ x: { data: new Int8Array(3), dims: [3] } })
  // @ts-expect-error no such input
  bare.runSync({ y: new Float32Array(3) })
  // @ts-expect-error an input is missing
  bare.runSync({})
  // @ts-expect-error no such input of a call
  call.inputs.z
  // @ts-expect-error no such output of a call
  call.outputs.z
  // @ts-expect-error no such input to reshape
  call.reshape('z', [2, 3])
  // @ts-expect-error a numeric input is written into, not assigned
  call.inputs.x = new Float32Array(3)
  // @ts-expect-error an output is read only
  call.outputs.y = outputs.y
  // @ts-expect-error a number is no string
  texts.inputs.x = new Float32Array(3)
  // @ts-expect-error no such output
  outputs.z
  // @ts-expect-error a file without a contract takes no records
  await bare.predict({ x: 1 })
  void [first, second, reshaped]
}

export async function labels(): Promise<void> {
  const integers = (await open<Integers>('integers.onnx')).predictSync({ x: 1 })
  yes<Equal<typeof integers.label, 0 | 7 | -3 | 9007199254740991>>()
  integers.probabilities[7].toFixed()
  integers.probabilities['-3'].toFixed()
  const booleans = (await open<Booleans>('booleans.onnx')).predictSync({ x: 1 })
  yes<Equal<typeof booleans.label, boolean>>()
  yes<Equal<keyof typeof booleans.probabilities, 'false' | 'true'>>()
  const many = (await open<Many>('many.onnx')).predictSync({ x: 1 })
  many.label = 'class number 399'
  const one = (await open<One>('one.onnx')).predictSync({ price: 1 })
  yes<Equal<typeof one.prediction, number>>()
  const several = (await open<Several>('several.onnx')).predictSync({ a: 1, b: 2, c: 3 })
  yes<Equal<typeof several.prediction, number[]>>()

  // @ts-expect-error 1 is no class
  integers.label = 1
  // @ts-expect-error '7' is no class either: the classes are integers
  integers.label = '7'
  // @ts-expect-error one class too many
  many.label = 'class number 400'
  // @ts-expect-error a regressor has no label
  one.label
}

export async function odd(): Promise<void> {
  type Names = keyof OddNames['features']
  yes<Equal<Names, OddNames['answer']['label']>>()
  yes<Equal<Names, keyof OddNames['answer']['probabilities']>>()
  yes<Equal<Names, keyof OddNames['inputs']>>()
  // biome-ignore format: one list
  const names: Names[] = ['__proto__', 'constructor', 'length', 'class', 'a b', "it's", '`${x}`', 'back\\slash', 'new\nline', 'größe (m²)', '🐧', '\u202eright to left', '\u2028']
  // @ts-expect-error no such name
  names.push('new\\nline')
  const model = await open<OddNames>('odd.onnx')
  // @ts-expect-error a Record may lack some of the features
  await model.predict(value as Record<string, number>)
}

export async function arraysAreLists(): Promise<void> {
  const answers = await (await open<AllOptional>('a.onnx')).predict([{ length: 1 }, {}])
  answers.length
  const others = (await open<Length>('l.onnx')).predictSync([{ length: 1 }])
  yes<Equal<(typeof others)[number]['label'], 'a' | 'b'>>()
  // @ts-expect-error a list gives no single answer
  others.label
}

export async function anyModel(): Promise<void> {
  const model = await open('any.onnx')
  const answer = await model.predict({ a: 1, b: 'x', c: null, d: undefined, e: 1n, f: true })
  answer.label
  const { y } = await model.run(
    { x: [1, 2], z: new Float32Array(2) },
    { signal: new AbortController().signal, timeoutMs: 5 }
  )
  y?.dims
  const call = model.call()
  call.inputs.x.set([1, 2])
  call.outputs.y?.dims
  // @ts-expect-error an object is no value
  await model.predict({ a: {} })
  // @ts-expect-error no such option
  await model.run({}, { timeout: 5 })
}
