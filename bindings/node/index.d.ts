/// <reference lib="esnext.disposable" />
/**
 * sidecall: call machine-learning models that were trained in Python. This file is the manual of
 * the Node.js package.
 *
 * ```js
 * const { open } = require('sidecall')
 * const model = await open('fraud.onnx')
 * const { label, probabilities } = model.predictSync({ amount: 12.5, country: 'DE' })
 * ```
 *
 * There are two levels. `predict` takes records by feature name and returns records; `run` takes
 * tensors by input name and returns tensors. Each has a synchronous version. `call` opens a
 * reusable workspace, which is the fastest way for tensors.
 *
 * Bad data and failed runs throw (or reject with) a {@link SidecallError}. An argument of a wrong
 * type throws a TypeError.
 */

/**
 * The types of the inputs and outputs of a model. `sidecall types fraud.onnx` writes such an
 * interface for one model; use it as `open<Fraud>(...)`.
 */
export interface ModelTypes {
  /** A record that `predict` takes: features by name. */
  features: object
  /** The record that `predict` returns. */
  answer: object
  /** Tensors that `run` takes, by input name. */
  inputs: object
  /** Tensors that `run` returns, by output name. */
  outputs: object
  /** The inputs of a call (see {@link Call}), by input name. */
  views: object
}

/** The types of a model for which no interface was written. */
export interface AnyModel extends ModelTypes {
  features: Record<string, Value>
  answer: Record<string, any>
  inputs: Record<string, TensorLike>
  outputs: Record<string, Tensor>
  views: Record<string, any>
}

/**
 * One value of a record. A feature that is absent, `null`, `undefined` or NaN is missing. Nothing
 * is coerced: for example, a string never becomes a number.
 *
 * A feature of type 'datetime' takes text in ISO 8601. With a time zone ({@link FeatureSpec.zone})
 * the text must end with a zone ('2026-01-31T12:30:00Z'), and a Date is taken, too; without one the
 * text must not have a zone. A number is taken only if the contract says its unit ({@link
 * FeatureSpec.epoch}).
 */
export type Value = number | bigint | boolean | string | Date | null | undefined

/**
 * The type of tensor elements or of a feature. The names are the same in every language. {@link
 * TensorData} says which JavaScript array holds each type.
 */
export type Dtype =
  | 'float32' | 'float64' | 'float16' | 'bfloat16'
  | 'int8' | 'int16' | 'int32' | 'int64' | 'uint8' | 'uint16' | 'uint32' | 'uint64'
  | 'bool' | 'string'
  | 'float8e4m3fn' | 'float8e4m3fnuz' | 'float8e5m2' | 'float8e5m2fnuz' | 'uint4' | 'int4'

/** A Float16Array if the TypeScript library declares one, otherwise a Uint16Array of raw bits. */
export type Float16Data = typeof globalThis extends { Float16Array: { prototype: infer Data } } ? Data : Uint16Array

/** A URL, if the TypeScript project knows the class: from @types/node or the library 'dom'. */
export type URLSource = typeof globalThis extends { URL: { prototype: infer Source } } ? Source : never

/** An AbortSignal, if the TypeScript project knows the class. */
export type Signal = typeof globalThis extends { AbortSignal: { prototype: infer Known } } ? Known : never

/**
 * Elements in C order. bool is a Uint8Array of 0 and 1; int64 and uint64 are BigInt64Array and
 * BigUint64Array; float16 is a Float16Array if this version of Node has one, otherwise a
 * Uint16Array of raw bits; bfloat16 is a Uint16Array of raw bits; 8-bit floats and 4-bit integers
 * are raw bytes in a Uint8Array; strings are a plain array.
 */
export type TensorData =
  | Float16Data | Float32Array | Float64Array | Int8Array | Int16Array | Int32Array | Uint8Array | Uint16Array | Uint32Array
  | BigInt64Array | BigUint64Array | string[]

/**
 * A tensor that `run` returned: the data with its shape. A typed array is newly allocated memory
 * that belongs to the caller.
 */
export type Tensor<Data extends TensorData = TensorData> = Data & {
  /** The shape, outermost dimension first; [] for a scalar. Not enumerable. */
  readonly dims: readonly number[]
}

/**
 * The value that `run` takes for one input. One of:
 * - a typed array of the input's type. A synchronous run reads large arrays in place. An
 *   asynchronous run has finished reading them when it returns its promise, so the caller may
 *   change or transfer them at once;
 * - a Float32Array for a float64 input, or a Float64Array for a float32 input. It is converted like
 *   the numbers of a record: each number is rounded once. A finite number that does not round to a
 *   finite float32 is OUT_OF_RANGE, unless the contract says that the model accepts infinities.
 *   Typed arrays of other types are not converted;
 * - a plain array of numbers, bigints, booleans or strings, optionally nested by dimension. It is
 *   converted, and each value must fit the type. In an array for a string feature, `null`,
 *   `undefined` and NaN stand for a missing value. A plain array is refused for types without a
 *   JavaScript number type (bfloat16, 8-bit floats, 4-bit types, and float16 in versions of Node
 *   without Float16Array);
 * - `{ data, dims }`, where `data` is one of the above.
 *
 * If the value is not nested and has no `dims`, the shape is inferred from the signature; this
 * needs a signature with at most one free dimension. A tensor that `run` returned has its own
 * `dims`.
 */
export type TensorLike<Data extends TensorData = TensorData> = Data | readonly unknown[] | { data: Data | readonly unknown[]; dims?: readonly number[] }

export interface OpenOptions {
  /**
   * What to do if the golden rows of the file give other answers than at export. The environment
   * variable SIDECALL_VERIFY overrides this option. Default 'error'.
   */
  verify?: 'error' | 'warn' | 'off'
  /** What to do with a feature that the model does not have. Default 'error'. */
  extra?: 'error' | 'ignore'
  /**
   * The deadline of each run that does not set its own, in milliseconds. Default: no deadline for a
   * model in this process; for a model in another process the timeout of its server, which is 30 s
   * by default.
   */
  timeoutMs?: number
  /**
   * How long to wait for a server that is still starting, in milliseconds. Default 0. Applies when
   * the model is opened, and to each call while the server restarts; a call waits no longer than
   * its own deadline.
   */
  waitMs?: number
  /**
   * Allows URIs that start with `exec:`. Leave it false if URIs may come from untrusted input.
   * Default false.
   */
  allowExec?: boolean
  /**
   * What runs a file: 'onnxruntime'; 'native' for sidecall's own engine, which does not load ONNX
   * Runtime and refuses a graph that it cannot run with UNSUPPORTED; or 'auto': the native engine
   * if the export proved the file on it, otherwise ONNX Runtime if there is one. A query of the
   * source overrides this option (`fraud.onnx?engine=native`), and the environment variable
   * SIDECALL_ENGINE overrides both. `Model.engine` says which engine was taken. Default 'auto'.
   */
  engine?: 'auto' | 'native' | 'onnxruntime'
  /** Path of the ONNX Runtime library. Default: the library is searched for, see `engine()`. */
  onnxruntime?: string
}

export interface RunOptions {
  /**
   * The deadline in milliseconds: more than 0, may be fractional; Infinity for no deadline. In
   * process the deadline is checked between graph nodes, and a run that completes late still
   * succeeds.
   */
  timeoutMs?: number
}

export interface AsyncOptions extends RunOptions {
  /** Aborting rejects the promise with `signal.reason` and asks the engine to stop. */
  signal?: Signal
}

/**
 * Opens a model. `source` is a path, a URI (`file:`, `shm:`, `exec:`), a URL, or the bytes of the
 * file. The work happens on another thread, so the event loop is not blocked. Open a model once and
 * keep it. Rejects with FILE_*, CONTRACT_*, UNSUPPORTED, VERIFICATION_FAILED, ENGINE* (see
 * {@link SidecallError}).
 */
export function open<Types extends ModelTypes = AnyModel>(source: string | URLSource | Uint8Array, options?: OpenOptions & { signal?: Signal }): Promise<Model<Types>>

/** Like `open`, but blocks the calling thread: for start-up code and scripts. */
export function openSync<Types extends ModelTypes = AnyModel>(source: string | URLSource | Uint8Array, options?: OpenOptions): Model<Types>

/**
 * What `predict` takes: one record, or an array of records. The compiler infers `List` from an
 * array, and leaves it `never` for one record. This type lets `predict` have one signature instead
 * of two overloads, which makes the compiler's error about a wrong record shorter.
 */
export type Records<Features, List> = Features | (readonly Features[] & { readonly [Symbol.iterator]: List })

/** What `predict` returns: one answer for one record, an array of answers for an array. */
export type Answers<Answer, List> = [List] extends [never] ? Answer : Answer[]

/**
 * An opened model. Any number of runs may be under way at the same time. A model cannot be
 * transferred to another thread: each worker thread opens its own. The golden rows still run only
 * once per process, even if several threads open the model.
 */
export interface Model<Types extends ModelTypes = AnyModel> {
  /** The name of the model, from the contract; '' without a contract. */
  readonly name: string
  /** The version of the model, from the contract; '' without a contract. */
  readonly version: string
  /** SHA-256 of the file and its external files, in hexadecimal. */
  readonly id: string
  /** What runs the model: 'native 2', 'onnxruntime 1.32.0', or the name of a server. */
  readonly engine: string
  /** Why this engine was taken, in one line; '' for a model in another process. */
  readonly engineReason: string
  /** With `verify: 'warn'`: why verification failed, or null if it passed. Otherwise null. */
  readonly warning: string | null
  /** The tensors, features and columns of the model, as plain frozen objects. */
  readonly signature: Signature
  /**
   * The contract as stored in the file (docs/contract.md), parsed and frozen; null for a file
   * without a contract.
   */
  readonly contract: Readonly<Record<string, any>> | null

  /**
   * Predicts for one record, or for an array of records (one answer for each). Never blocks the
   * event loop. If the data is wrong, the error lists all faults of all records: see `faults`. The
   * records are read before this function returns. The features of a record are the object's own
   * enumerable string keys; plain objects and instances of classes are both accepted. Arrays, Maps,
   * Sets, Dates and typed arrays are not records.
   *
   * An int64 answer is a number if its absolute value is at most 2^53, otherwise a bigint. The
   * members of an answer are in the order of the contract, except that JavaScript always puts keys
   * that look like array indices first.
   */
  predict<List = never>(records: Records<Types['features'], List>, options?: AsyncOptions): Promise<Answers<Types['answer'], List>>
  /** Like `predict`, but on the calling thread: the fastest way for small models. */
  predictSync<List = never>(records: Records<Types['features'], List>, options?: RunOptions): Answers<Types['answer'], List>

  /**
   * Runs the model on tensors, by input name. Never blocks the event loop: a model that is known to
   * be fast runs at once on the calling thread; other models run on a bounded pool of threads. When
   * the queue of the pool is full, up to 16 384 further runs wait for their turn; each run beyond
   * that rejects at once with BUSY. Rejects with UNKNOWN_NAME, MISSING_INPUT, DTYPE_MISMATCH,
   * SHAPE_MISMATCH, OUT_OF_RANGE, MISSING_VALUE, UNKNOWN_CATEGORY, REFUSED, TIMEOUT, BUSY, ENGINE.
   * The error of a batch has at least one fault for each bad row: see `faults`.
   */
  run(inputs: Types['inputs'], options?: AsyncOptions): Promise<Types['outputs']>
  /** Like `run`, but on the calling thread: the fastest way for small models. */
  runSync(inputs: Types['inputs'], options?: RunOptions): Types['outputs']

  /**
   * Opens a reusable workspace for `rows` rows (default 1). For a model in this process, the engine
   * reads and writes the buffers of the workspace directly. For `shm:` and `exec:`, each run copies
   * the inputs from these buffers to the shared memory, and the workspace connects to the other
   * process only in its first run: `runSync` waits for the connection within its deadline, and
   * `run` waits on another thread, so the event loop is not blocked.
   */
  call(options?: { rows?: number }): Call<Types>

  /**
   * Closes the model. Runs under way complete first. Later calls of its methods fail with
   * INVALID_ARGUMENT. Closing twice is allowed.
   */
  close(): void
  /** The same as `close`; it makes `using model = openSync(...)` work. */
  [Symbol.dispose](): void
}

/**
 * A reusable workspace. `inputs` and `outputs` are views of its own memory: write the inputs, run,
 * read the outputs. The memory stays alive as long as any view of it exists.
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
  /**
   * Typed arrays to write into, one for each numeric input; all elements are 0 at first. To set a
   * string input, assign an array: `call.inputs.city = ['Rome']`.
   */
  readonly inputs: Types['views']
  /**
   * Typed arrays that the last run filled; the next run reuses them. A string output is a plain
   * array, read again after each run. Throws NOT_RUN before the first run.
   */
  readonly outputs: Readonly<Types['outputs']>
  /** Runs the model once, on the calling thread. The outputs are invalid after a failure. */
  runSync(options?: RunOptions): void
  /**
   * Runs the model once, without blocking the event loop. Until the promise settles, the memory
   * belongs to the engine, and other runs, reshapes and reads of outputs fail with BUSY. After an
   * abort or a passed deadline this lasts until the engine has released the memory.
   */
  run(options?: AsyncOptions): Promise<void>
  /**
   * Sets the shape of one input, for inputs with free dimensions other than rows. Returns the new
   * view of the input, or undefined for a string input. Older views keep the old memory, which the
   * engine no longer reads.
   */
  reshape<Name extends keyof Types['views'] & string>(input: Name, dims: readonly number[]): Types['views'][Name]
  /**
   * Closes the call and cancels a run that is under way. Memory is freed once no view of it is
   * left. Closing twice is allowed.
   */
  close(): void
  /** The same as `close`; it makes `using call = model.call()` work. */
  [Symbol.dispose](): void
}

/** One input or output of the model, as the graph declares it. */
export interface TensorSpec {
  readonly name: string
  readonly dtype: Dtype
  /**
   * For each dimension its size, or null if it is free. `dimNames` has the names of free
   * dimensions.
   */
  readonly dims: readonly (number | null)[]
  /** For each dimension its name in the graph, such as 'N'; null if it is fixed or has no name. */
  readonly dimNames: readonly (string | null)[]
}

/** One feature of the records that `predict` takes. */
export interface FeatureSpec {
  /** The name with which the model was trained. */
  readonly name: string
  readonly dtype: Dtype | 'datetime'
  /** Whether the value may be missing: absent, null, undefined or NaN. */
  readonly nullable: boolean
  /** The input that the feature is written to. */
  readonly input: string
  /** The column of that input, from 0. */
  readonly column: number
  /** Of a datetime: what the int64 input counts since 1970. */
  readonly unit?: 's' | 'ms' | 'us' | 'ns'
  /**
   * Of a datetime: its time zone, for example 'Europe/Berlin'; the input counts in UTC. Without a
   * zone, the input counts the time of the wall clock.
   */
  readonly zone?: string
  /** Of a datetime: what a number in a record counts since 1970 in UTC. */
  readonly epoch?: 's' | 'ms' | 'us' | 'ns'
}

/** One number, label or text of an answer, seen as a column of a table. */
export interface ColumnSpec {
  /** The flat name, for example 'label' or 'probabilities.fraud'. */
  readonly name: string
  /** The output that the column is read from. */
  readonly output: string
  readonly dtype: Dtype
}

/** The inputs and outputs of a model. Without a contract, `features` and `columns` are empty. */
export interface Signature {
  readonly inputs: readonly TensorSpec[]
  readonly outputs: readonly TensorSpec[]
  readonly features: readonly FeatureSpec[]
  readonly columns: readonly ColumnSpec[]
}

/**
 * One fault of one value, or of one row that the model refuses. Its fields are enough to build an
 * HTTP 400 response without parsing text. They never hold a value of the data.
 */
export interface Fault {
  readonly code: ErrorCode
  /** The row, from 0; null if the fault does not concern a row. */
  readonly row: number | null
  /**
   * The feature, input, output, column of an output, or step of the model that the fault is about;
   * null if none.
   */
  readonly name: string | null
  readonly expected: string | null
  /**
   * What was found instead. Types have the same names in every language: a JavaScript number that
   * is whole counts as 'int64', any other number as 'float64', and a boolean as 'bool'.
   */
  readonly got: string | null
  readonly message: string
}

/**
 * The names of the status codes of the C ABI. INVALID_ARGUMENT is also the error of a model or call
 * that was closed before.
 */
export type ErrorCode =
  | 'INVALID_ARGUMENT' | 'BUSY' | 'NOT_RUN' | 'CANCELLED'
  | 'FILE_NOT_FOUND' | 'FILE_UNREADABLE' | 'FILE_INVALID' | 'FILE_TOO_LARGE' | 'FILE_FORBIDDEN'
  | 'CONTRACT_INVALID' | 'CONTRACT_FORMAT' | 'NO_CONTRACT' | 'UNSUPPORTED' | 'VERIFICATION_FAILED' | 'CONTRACT_CHANGED'
  | 'DTYPE_MISMATCH' | 'SHAPE_MISMATCH' | 'UNKNOWN_NAME' | 'MISSING_INPUT' | 'MISSING_VALUE' | 'UNKNOWN_CATEGORY' | 'INVALID_STRING' | 'INVALID_JSON' | 'OUT_OF_RANGE' | 'REFUSED'
  | 'PEER_DIED' | 'TIMEOUT' | 'UNREACHABLE' | 'DENIED' | 'PROTOCOL' | 'FORKED'
  | 'ENGINE' | 'ENGINE_NOT_FOUND' | 'ENGINE_TOO_OLD' | 'OUT_OF_MEMORY' | 'INTERNAL'

/**
 * The kind of an error. 'data' means that the data of the caller is wrong, which a web server
 * answers with HTTP 400. 'channel' and 'engine' are not errors of the caller.
 */
export type ErrorFamily = 'usage' | 'file' | 'model' | 'data' | 'channel' | 'engine' | 'internal'

/** The error that every failed operation throws or rejects with. */
export class SidecallError extends Error {
  readonly name: 'SidecallError'
  /** The code of the first fault. */
  readonly code: ErrorCode
  readonly family: ErrorFamily
  /** Whether the same call may succeed later. */
  readonly retryable: boolean
  /**
   * The feature, input, output, column of an output, or step of the model that the first fault is
   * about; or null.
   */
  readonly feature: string | null
  /** The row of the first fault, from 0, or null. */
  readonly row: number | null
  /** What the first fault expected: a type, a shape or a list of names; or null. */
  readonly expected: string | null
  /** What the first fault got: a type or a shape, never a value of the data; or null. */
  readonly got: string | null
  /**
   * All faults of the call, at least one; the first 1000 are kept. One row may have several faults,
   * and in a batch each bad row has at least one.
   */
  readonly faults: readonly Fault[]
}

/** The version of the package. */
export const version: string

/**
 * Returns which ONNX Runtime was found, and where. Loads it, as the first `open` would. Throws
 * ENGINE_NOT_FOUND, ENGINE_TOO_OLD. Without ONNX Runtime, sidecall's own engine still runs the
 * files that the export proved on it; `Model.engine` says which engine runs a model.
 */
export function engine(options?: { onnxruntime?: string }): { engine: string; version: string; oldest: string; api: number; path: string; found_by: string; telemetry: string }
