/**
 * sidecall: call machine-learning models that were trained in Python. This file is the manual of the Node.js package.
 *
 * ```js
 * const { open } = require('sidecall')
 * const model = await open('fraud.onnx')
 * const { label, probabilities } = model.predictSync({ amount: 12.5, country: 'DE' })
 * ```
 *
 * Two levels: `predict` takes records by feature name and gives records; `run` takes tensors by input name and gives
 * tensors. Each has a synchronous twin. `call` opens a reusable workspace, the fastest way for tensors.
 *
 * Bad data and failed runs throw (or reject with) a {@link SidecallError}; an argument of a wrong kind throws a TypeError.
 */

/** What a model takes and gives. `sidecall types fraud.onnx` writes such an interface for one model: `open<Fraud>(...)`. */
export interface ModelTypes {
  /** A record: features by name. */
  features: object
  /** The record that `predict` gives. */
  answer: object
  /** Tensors that `run` takes, by input name. */
  inputs: object
  /** Tensors that `run` gives, by output name. */
  outputs: object
}

/** Any model, before its types were written. */
export interface AnyModel extends ModelTypes {
  features: Record<string, Value>
  answer: Record<string, any>
  inputs: Record<string, TensorLike>
  outputs: Record<string, Tensor>
}

/** One value of a record. Absent, `null`, `undefined` and NaN are missing. Nothing is coerced: no string becomes a number. */
export type Value = number | bigint | boolean | string | null | undefined

/** The type of elements or of a feature, named as in every language. {@link TensorData} says what holds each. */
export type Dtype =
  | 'float32' | 'float64' | 'float16' | 'bfloat16'
  | 'int8' | 'int16' | 'int32' | 'int64' | 'uint8' | 'uint16' | 'uint32' | 'uint64'
  | 'bool' | 'string'
  | 'float8e4m3fn' | 'float8e4m3fnuz' | 'float8e5m2' | 'float8e5m2fnuz' | 'uint4' | 'int4'

/** float16 where the library of TypeScript has a Float16Array; raw bits where not. */
export type Float16Data = typeof globalThis extends { Float16Array: { prototype: infer Data } } ? Data : Uint16Array

/**
 * Elements in C order. bool is a Uint8Array of 0 and 1; int64 and uint64 are BigInt64Array and BigUint64Array; float16 is a
 * Float16Array where Node has it, else a Uint16Array of raw bits, as bfloat16 is; 8-bit and 4-bit types are raw bytes; strings are an array.
 */
export type TensorData =
  | Float16Data | Float32Array | Float64Array | Int8Array | Int16Array | Int32Array | Uint8Array | Uint16Array | Uint32Array
  | BigInt64Array | BigUint64Array | string[]

/** A tensor that `run` gave: the data with its shape. Typed arrays are fresh memory that belongs to the caller. */
export type Tensor<Data extends TensorData = TensorData> = Data & {
  /** The shape, outermost dimension first; a scalar has none: []. Not enumerable. */
  readonly dims: readonly number[]
}

/**
 * What `run` takes for one input:
 * - a typed array of the input's type. A synchronous run reads large ones in place; an asynchronous run has read them when it returns,
 *   so that they may be changed or transferred at once;
 * - a Float32Array for a float64 input, or a Float64Array for a float32 one: converted as the numbers of a record are, each rounded once. A finite
 *   number that rounds to no finite float32 is OUT_OF_RANGE, unless the contract says that the model takes infinities. Typed arrays of other types are not converted;
 * - a plain array of numbers, bigints, booleans or strings, also nested by dimension: converted, each value must fit the type. Not for
 *   types that JavaScript has no numbers for (bfloat16, 8-bit and 4-bit floats);
 * - `{ data, dims }` with either of them.
 * Without `dims` (a tensor that `run` gave has its own), and not nested, the shape follows from the signature where one dimension at most is free.
 */
export type TensorLike<Data extends TensorData = TensorData> = Data | readonly unknown[] | { data: Data | readonly unknown[]; dims?: readonly number[] }

export interface OpenOptions {
  /** What to do when the golden rows of the file give other answers than at export. SIDECALL_VERIFY in the environment wins. Default 'error'. */
  verify?: 'error' | 'warn' | 'off'
  /** What to do with a feature that the model does not know. Default 'error'. */
  extra?: 'error' | 'ignore'
  /** The deadline of every run that sets none of its own, in milliseconds; default none in process, 30 s in another one. */
  timeoutMs?: number
  /** How long to wait for a server that is still starting, at open and in every call when it restarts, in milliseconds; default 0. A call waits within its deadline. */
  waitMs?: number
  /** Lets the URI start with `exec:`. Leave false where URIs may come from outside. */
  allowExec?: boolean
  /** Path of the ONNX Runtime library; default: searched, see `engine()`. */
  onnxruntime?: string
}

export interface RunOptions {
  /** In milliseconds, may be fractional, more than 0; Infinity for none. In process a deadline is honoured between graph nodes; a run that completes late succeeds. */
  timeoutMs?: number
}

export interface AsyncOptions extends RunOptions {
  /** Aborting rejects with `signal.reason`, and asks the engine to stop. */
  signal?: AbortSignal
}

/**
 * Opens a model: a path, a `file:` URI or URL, or the file's bytes. Works on a thread of the pool; the event loop goes on.
 * Open once and keep. Rejects with FILE_*, CONTRACT_*, UNSUPPORTED, VERIFICATION_FAILED, ENGINE* (see {@link SidecallError}).
 */
export function open<Types extends ModelTypes = AnyModel>(source: string | URL | Uint8Array, options?: OpenOptions & { signal?: AbortSignal }): Promise<Model<Types>>

/** The same, blocking: for start-up code and scripts. */
export function openSync<Types extends ModelTypes = AnyModel>(source: string | URL | Uint8Array, options?: OpenOptions): Model<Types>

/** An opened model. Any number of runs may be under way at once. Not transferable: each worker thread opens its own (the golden rows run once per process). */
export interface Model<Types extends ModelTypes = AnyModel> {
  /** From the contract; '' without one. */
  readonly name: string
  /** From the contract; '' without one. */
  readonly version: string
  /** SHA-256 of the graph and its external files, in hexadecimal. */
  readonly id: string
  /** Why verification did not hold, under `verify: 'warn'`; else null. */
  readonly warning: string | null
  /** Tensors, features and columns as plain, frozen objects. */
  readonly signature: Signature
  /** The contract as stored in the file (docs/contract.md), parsed and frozen; null for a file without one. */
  readonly contract: Readonly<Record<string, any>> | null

  /**
   * Predicts for one record, or for an array of them (one answer each). Never blocks the event loop. All faults of all records
   * are found before it rejects: see `faults`. The records are read before it returns: own enumerable string keys, of plain objects and of
   * instances of classes alike. Arrays, Maps, Sets, Dates and typed arrays are no records.
   *
   * Whole numbers of int64 answers are numbers within 2^53, bigints beyond. Members keep the contract's order, as far as JavaScript
   * lets keys that look like array indices keep any.
   */
  predict(records: readonly Types['features'][], options?: AsyncOptions): Promise<Types['answer'][]>
  predict(record: Types['features'], options?: AsyncOptions): Promise<Types['answer']>
  /** The same on the calling thread: for small models the fastest way. */
  predictSync(records: readonly Types['features'][], options?: RunOptions): Types['answer'][]
  predictSync(record: Types['features'], options?: RunOptions): Types['answer']

  /**
   * Runs on tensors, by input name. Never blocks the event loop: a model known to be fast runs at once, others on a bounded pool of
   * threads; when its queue is full, runs wait their turn, up to 16 384 of them; what comes on top rejects with BUSY at once. Rejects with
   * UNKNOWN_NAME, MISSING_INPUT, DTYPE_MISMATCH, SHAPE_MISMATCH, OUT_OF_RANGE, MISSING_VALUE, UNKNOWN_CATEGORY, REFUSED, TIMEOUT, BUSY, ENGINE.
   * Of a batch every bad row is a fault: see `faults`.
   */
  run(inputs: Types['inputs'], options?: AsyncOptions): Promise<Types['outputs']>
  /** The same on the calling thread: for small models the fastest way. */
  runSync(inputs: Types['inputs'], options?: RunOptions): Types['outputs']

  /**
   * Opens a reusable workspace for `rows` rows (default 1): its buffers are what the engine reads and writes. Over `shm:` and `exec:` nothing is
   * asked of the other process before the first run, which connects: `runSync` waits for that within its deadline, `run` off the event loop.
   */
  call(options?: { rows?: number }): Call<Types>

  /** The source of a TypeScript declaration for `open<Name>()`, as `sidecall types` writes it. */
  types(name?: string): string

  /** Gives the model back. Runs under way end first; what is called afterwards fails with INVALID_ARGUMENT. Closing twice is fine. */
  close(): void
  /** `close`, for `using model = openSync(...)`. */
  [Symbol.dispose](): void
}

/**
 * A reusable workspace. `inputs` and `outputs` are views of its own memory: write, run, read. Memory stays alive as long as any view of it.
 *
 * ```js
 * const call = model.call({ rows: 1 })
 * call.inputs.X.set(x)
 * call.runSync()
 * call.outputs.probabilities[1]
 * ```
 */
export interface Call<Types extends ModelTypes = AnyModel> {
  readonly rows: number
  /** Typed arrays to write into, one per numeric input, zeroed at first. For a string input an array is assigned: `call.inputs.city = ['Rome']`. */
  readonly inputs: { [Name in keyof Types['inputs']]: any }
  /** Typed arrays that the last run filled; reused by the next. Strings are arrays, read anew after each run. NOT_RUN before the first. */
  readonly outputs: { [Name in keyof Types['outputs']]: any }
  /** Runs once, on the calling thread. Outputs are invalid after a failure. */
  runSync(options?: RunOptions): void
  /**
   * Runs once, off the event loop. Until it settles the call is busy (BUSY) and its memory belongs to the engine; after an abort or a passed
   * deadline until the engine lets go.
   */
  run(options?: AsyncOptions): Promise<void>
  /** Gives one input its own shape, for inputs that vary beyond rows: returns its new view; older views keep the old memory and are no longer read. */
  reshape(input: string, dims: readonly number[]): any
  /** Gives the memory back, as far as no view of it is kept. A run under way is cancelled. Closing twice is fine. */
  close(): void
  /** `close`, for `using call = model.call()`. */
  [Symbol.dispose](): void
}

/** One input or output, as the graph declares it. */
export interface TensorSpec {
  readonly name: string
  readonly dtype: Dtype
  /** A number, or null where free. Names of free dimensions are in `dimNames`. */
  readonly dims: readonly (number | null)[]
  /** As in the graph: 'N'; null where a dimension is fixed or has no name. */
  readonly dimNames: readonly (string | null)[]
}

/** One feature of the records that `predict` takes. */
export interface FeatureSpec {
  /** As the model was trained with it. */
  readonly name: string
  readonly dtype: Dtype
  /** May be missing: absent, null, undefined or NaN. */
  readonly nullable: boolean
  /** The input and column that it lands in. */
  readonly input: string
  readonly column: number
}

/** One number, label or text of the answers, as a column of a table. */
export interface ColumnSpec {
  /** Flat, as in a table: 'label', 'probabilities.fraud'. */
  readonly name: string
  /** The output that it is taken from. */
  readonly output: string
  readonly dtype: Dtype
}

/** What a model takes and gives. Without a contract there are no features and columns. */
export interface Signature {
  readonly inputs: readonly TensorSpec[]
  readonly outputs: readonly TensorSpec[]
  readonly features: readonly FeatureSpec[]
  readonly columns: readonly ColumnSpec[]
}

/** One fault of one value, or of one row that the model refuses: enough to build an HTTP 400 without parsing text. Never holds a value of the data. */
export interface Fault {
  readonly code: ErrorCode
  /** From 0; null where no row is concerned. */
  readonly row: number | null
  /** The feature, input, output or its column, or step of the model; null where none is concerned. */
  readonly name: string | null
  readonly expected: string | null
  readonly got: string | null
  readonly message: string
}

/** The names of the C ABI's statuses. INVALID_ARGUMENT is also the use of a model or call that was closed. */
export type ErrorCode =
  | 'INVALID_ARGUMENT' | 'BUSY' | 'NOT_RUN' | 'CANCELLED'
  | 'FILE_NOT_FOUND' | 'FILE_UNREADABLE' | 'FILE_INVALID' | 'FILE_TOO_LARGE' | 'FILE_FORBIDDEN'
  | 'CONTRACT_INVALID' | 'CONTRACT_FORMAT' | 'NO_CONTRACT' | 'UNSUPPORTED' | 'VERIFICATION_FAILED' | 'CONTRACT_CHANGED'
  | 'DTYPE_MISMATCH' | 'SHAPE_MISMATCH' | 'UNKNOWN_NAME' | 'MISSING_INPUT' | 'MISSING_VALUE' | 'UNKNOWN_CATEGORY' | 'INVALID_STRING' | 'INVALID_JSON' | 'OUT_OF_RANGE' | 'REFUSED'
  | 'PEER_DIED' | 'TIMEOUT' | 'UNREACHABLE' | 'DENIED' | 'PROTOCOL' | 'FORKED'
  | 'ENGINE' | 'ENGINE_NOT_FOUND' | 'ENGINE_TOO_OLD' | 'OUT_OF_MEMORY' | 'INTERNAL'

/** What kind of trouble: 'data' is the caller's mistake and an HTTP 400, 'channel' and 'engine' are not. */
export type ErrorFamily = 'usage' | 'file' | 'model' | 'data' | 'channel' | 'engine' | 'internal'

/** What every failed operation throws or rejects with. */
export class SidecallError extends Error {
  readonly name: 'SidecallError'
  /** Of the first fault. */
  readonly code: ErrorCode
  readonly family: ErrorFamily
  /** The same call may succeed later. */
  readonly retryable: boolean
  /** What the first fault is about: a feature, input, output or its column, or step of the model; or null. */
  readonly feature: string | null
  /** Of the first fault, from 0, or null. */
  readonly row: number | null
  /** Of the first fault: a type, a shape, a list of names. */
  readonly expected: string | null
  /** Of the first fault: a type or a shape, never a value. */
  readonly got: string | null
  /** All faults of a call, at least one: of a batch one for each bad row, of which the first 1000 are kept. */
  readonly faults: readonly Fault[]
}

/** The version of the package. */
export const version: string

/** What ONNX Runtime was found, and where. Loads it as the first open would. Throws ENGINE_NOT_FOUND, ENGINE_TOO_OLD. */
export function engine(options?: { onnxruntime?: string }): { engine: string; version: string; api: number; path: string; found_by: string; telemetry: string }
