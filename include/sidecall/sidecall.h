/* sidecall.h: calls machine-learning models that were trained in Python. The manual of the C ABI.
 *
 * Each part needs only the parts before it, so read as far as you need:
 *
 *   1. Models and calls         opening and closing them
 *   2. Records                  set features, run, read columns; or JSON text
 *   3. The model                its features, columns and tensors, its contract, its golden rows
 *   4. Tensors                  whole inputs and outputs, without copies
 *   5. Asynchronous runs        queues: submit, take, cancel; event loops
 *   6. Remote models            what differs for a model that a server runs
 *   7. Errors                   statuses, faults, the error struct
 *   8. Versions and the engine  what is loaded
 *
 * Further headers: sidecall.hpp (the same in C++17), server.h (offers a model to other processes),
 * binding.h (functions that only bindings for other languages need).
 *
 * A complete program:
 *
 *   #include <sidecall/sidecall.h>
 *   #include <stdio.h>
 *
 *   int main(void) {
 *     sidecall_error err = SIDECALL_ERROR_INIT;
 *     sidecall_model *model = NULL;
 *     sidecall_call *call = NULL;
 *     double fraud = 0;
 *     int failed = sidecall_model_open("fraud.onnx", NULL, &model, &err) ||
 *                  sidecall_call_open(model, 1, &call, &err);  // a workspace for 1 row
 *     if (!failed) {
 *       int32_t amount = sidecall_model_feature(model, "amount");  // look names up once
 *       int32_t column = sidecall_model_column(model, "probabilities.fraud");
 *       failed = sidecall_call_set_f64(call, 0, amount, 12.5, &err) ||
 *                sidecall_call_run(call, -1, &err) ||
 *                sidecall_call_get_f64(call, 0, column, &fraud, &err);
 *     }
 *     if (failed) fprintf(stderr, "%s\n", err.message);
 *     else printf("%f\n", fraud);
 *     sidecall_call_close(call);
 *     sidecall_model_close(model);
 *     return failed;
 *   }
 *
 * Terms:
 *
 * Model       An ONNX file that this process runs, or a model that another process serves.
 * Tensors     The inputs and outputs of the model's graph.
 * Contract    JSON inside the file, written by sidecall.export in Python (docs/contract.md): the
 *             features, the meaning of the outputs, and the golden rows. A file without a contract
 *             can be used through its tensors only.
 * Record      One row of data as a set of features, such as {"amount": 12.5, "country": "DE"}.
 * Feature     One key of a record. Its value is written to one column of an input tensor.
 * Column      One value that the model returns for each row, such as "label" or
 *             "probabilities.fraud".
 * Golden rows A few rows with the answers that the Python model gave at export. Opening a model
 *             runs them and compares the answers.
 * Call        A reusable workspace: the memory of the inputs and outputs for a number of rows.
 * Run         One execution of the model on the inputs of a call.
 *
 * Rules that apply everywhere, unless a function says otherwise:
 *
 * Status      A function that can fail returns a sidecall_status: SIDECALL_OK (0) or one of the
 *             codes in part 7. "Errors:" in a comment lists the codes without SIDECALL_; every such
 *             function can also fail with INVALID_ARGUMENT (a NULL that is not allowed, a wrong
 *             struct_size), OUT_OF_MEMORY and INTERNAL. After a failure every out parameter that is
 *             a handle or pointer is NULL, nothing needs to be released, and the handles that were
 *             passed in stay usable.
 * Error       `err` may be NULL. It belongs to the caller and holds nothing that must be released.
 *             It is filled on failure only; success leaves it as it was.
 * Handles     An open function returns a handle. The caller owns it, and must give it to the
 *             matching close function once. Close functions and functions that return a number or a
 *             text accept NULL.
 * Strings     UTF-8 without NUL bytes. Strings without a length argument end with NUL; lengths
 *             count bytes, without that NUL. Strings that are passed in are read during the
 *             function only. Strings that a function returns belong to the handle that was passed
 *             to it, live as long as that handle, and must not be released. A sidecall_text
 *             differs: the caller closes it.
 * Threads     Any number of threads may use a `const sidecall_model *` at once. A call belongs to
 *             one thread at a time; only sidecall_call_cancel may be called from another thread. If
 *             two threads use a call at once, the library may answer BUSY, but it cannot always
 *             detect this. An `err` must not be shared between threads either.
 * Fork        After fork() the child may close all handles, and may go on using local models. The
 *             exception is a model that another thread was running during the fork: ONNX Runtime
 *             may then wait for ever in the child, so the child must open the file again. An
 *             asynchronous run that was pending in the parent is not pending in the child. Remote
 *             models answer FORKED in the child until it opens them again. fork() itself waits
 *             while another thread opens a file, but at most 10 s.
 * Lifetime    A model and its calls may be closed in any order: the model is released when its
 *             handle and its last call are closed. Specs live as long as the model. A view of a
 *             call lives until the next run, submit, resize, reshape or bind of that call, or its
 *             close, unless the function that filled it promises more.
 * Structs     A struct that the caller allocates begins with struct_size, its size in the header
 *             that the caller was compiled with. The init macro, such as sidecall_error_init(&err),
 *             sets it and fills in the defaults. Structs grow at their end only, so a program that
 *             was built with an older or a newer header keeps working:
 *             - The library never reads or writes beyond struct_size. A field that does not lie
 *               completely within it has its default if the library reads the struct, and is not
 *               filled if the library fills the struct. A text that does not fit is cut and ends
 *               with NUL.
 *             - In a larger struct that the library reads, the bytes that it does not know must be
 *               0, so that no option is ignored silently. When the library fills a larger struct,
 *               it does not change those bytes.
 *             - A struct_size below 4 or above 4096 is refused with INVALID_ARGUMENT. If it is the
 *               struct_size of a sidecall_error, that error is not filled.
 *             Languages without macros call the function behind the macro, with the size of the
 *             struct as they declare it: sidecall_error_init_sized(err, size). Structs that the
 *             library allocates (specs and texts) also grow at their end: use them by pointer, and
 *             do not copy them.
 * Time        Nanoseconds in int64_t. A timeout of -1 waits forever for a local model, and 30
 *             seconds for a remote one.
 * Routes      A path or a file: URI opens a local model, which runs in this process. All other URIs
 *             open a remote model, which a server runs: shm: and exec: a server on this host, over
 *             shared memory; http: and grpc: a server on any host, by the Open Inference Protocol.
 *             Everything below holds for every route, including errors and their texts, unless it
 *             says "local", "remote", "over shared memory" or "over a network". After a restart of
 *             the server the next run connects again and keeps its inputs.
 * Exit        A program may end while runs are in progress, pending or given up: by return from
 *             main, exit(), quick_exit() or a signal. The threads of the library work on until the
 *             process is gone, and nothing that they use is destroyed before that. The child
 *             process of an exec: URI ends with the program. One restriction: while exit() runs,
 *             no other thread, and no queue, may be opening a local model, because ONNX Runtime
 *             then destroys objects that opening needs. The library stays loaded after dlclose(),
 *             because its threads execute its code.
 * Output      The library never prints, exits, aborts or installs a signal handler.
 */

#ifndef SIDECALL_SIDECALL_H
#define SIDECALL_SIDECALL_H

#include <stddef.h>
#include <stdint.h>

#if defined(SIDECALL_STATIC)
#define SIDECALL_API
#else
#define SIDECALL_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ==== 1. Models and calls ======================================================================
 *
 * The program at the top of this file needs only the functions of this part, and one function of
 * part 2 for each feature and each column. Open a model once and keep it. A call is a workspace for
 * a number of rows; use it again for every run. */

typedef int32_t sidecall_status;                /* SIDECALL_OK or why a function failed: part 7 */
typedef struct sidecall_error sidecall_error;   /* part 7 */
typedef struct sidecall_model sidecall_model;
typedef struct sidecall_call sidecall_call;
typedef struct sidecall_model_options sidecall_model_options;  /* below, after the open functions */

/* Opens the model that `uri` names.
 *
 * uri         local: a path ("fraud.onnx") or file:///m/fraud.onnx (percent-encoded).
 *             ?engine=auto, ?engine=native or ?engine=onnxruntime at the end is a query, which
 *             chooses the engine. The name of a file that exists may contain any other "?".
 *             remote: shm:NAME, shm:/run/app/fraud.sock or shm:///run/app/fraud.sock for a model
 *             that a server of this host serves (server.h)
 *             remote: exec:COMMAND ARGUMENTS for a program that is started as the server, and is
 *             ended when the model is released. Words are quoted as in a shell, but nothing is
 *             expanded and no shell runs. Needs options->allow_exec.
 *             remote: http://HOST:PORT/MODEL, https:, http+unix:, grpc:, grpcs: or grpc+unix: for a
 *             model on a server that speaks the Open Inference Protocol, such as Triton. Needs
 *             libsidecall-net.so. ?contract=FILE names a local file for the contract;
 *             docs/network.md has the other options
 * options     NULL for the defaults
 * out_model   the handle, which the caller closes with sidecall_model_close
 *
 * For a local model, this function reads the contract, and runs the golden rows once per process,
 * engine and file content. It also loads ONNX Runtime, unless an earlier open did or the native
 * engine runs the model (see SIDECALL_ENGINE_AUTO). All of this takes milliseconds, so open a model
 * once and keep it. The file and its external data are read once, into private memory, and never
 * again. N bytes of model take up to 3 N bytes of memory while opening and 2 N afterwards; N bytes
 * of external data take up to 4 N while opening (docs/contract.md has the figures).
 *
 * Official builds of ONNX Runtime may send telemetry. So the first open sets
 * ORT_DISABLE_TELEMETRY=1 in the environment if it is unset; this has no effect if the program has
 * already created an ONNX Runtime environment. If the program has threads that read the
 * environment, set the variable yourself before you start them.
 *
 * For a remote model, this function asks the server for the signature and the contract. A server
 * normally verifies the golden rows when it starts. If it has not, opening sends them to the server
 * and checks the answers. A server of the Open Inference Protocol always gets them. Once the server
 * is there (see wait_ns), all of this ends within 30 seconds, or opening fails with TIMEOUT. ONNX
 * Runtime is neither needed nor loaded.
 *
 * Errors: INVALID_ARGUMENT (also exec: without allow_exec), FILE_*, CONTRACT_INVALID,
 * CONTRACT_FORMAT, UNSUPPORTED, VERIFICATION_FAILED, ENGINE, ENGINE_NOT_FOUND, ENGINE_TOO_OLD,
 * OUT_OF_MEMORY; for remote models also UNREACHABLE, TIMEOUT, DENIED, PROTOCOL, BUSY. */
SIDECALL_API sidecall_status sidecall_model_open(const char *uri,
                                                 const sidecall_model_options *options,
                                                 sidecall_model **out_model, sidecall_error *err);

/* Opens a local model from the `length` bytes of an ONNX file at `data`. The bytes are copied, so
 * the caller may release them afterwards. Such a model cannot have external data. In all other
 * respects this function behaves like sidecall_model_open and returns the same errors. */
SIDECALL_API sidecall_status sidecall_model_open_bytes(const void *data, size_t length,
                                                       const sidecall_model_options *options,
                                                       sidecall_model **out_model,
                                                       sidecall_error *err);

/* Releases the handle. Calls of the model that are still open stay usable. No other thread may be
 * using this handle. NULL is allowed; cannot fail. */
SIDECALL_API void sidecall_model_close(sidecall_model *model);

/* What happens at open if golden rows give other answers than at export. */
#define SIDECALL_VERIFY_ERROR 0         /* opening fails with VERIFICATION_FAILED; the default */
#define SIDECALL_VERIFY_WARN 1          /* opening succeeds; see sidecall_model_warning */
#define SIDECALL_VERIFY_OFF 2           /* golden rows do not run */

/* What happens to a record that has a feature that the model does not know. */
#define SIDECALL_EXTRA_ERROR 0          /* the record is refused with UNKNOWN_NAME; the default */
#define SIDECALL_EXTRA_IGNORE 1         /* such features are skipped */

/* Which engine runs a local model; sidecall_model_engine returns the one that was taken.
 *
 * AUTO, the default, takes the native engine if the contract says that the export proved the file
 * on it. Otherwise AUTO takes ONNX Runtime. If no usable ONNX Runtime is found, and the options and
 * the environment name none, AUTO takes the native engine, if it has all operators of the file. */
#define SIDECALL_ENGINE_AUTO 0
#define SIDECALL_ENGINE_NATIVE 1        /* sidecall's own engine; ONNX Runtime is not loaded */
#define SIDECALL_ENGINE_ONNXRUNTIME 2

struct sidecall_model_options {
  uint32_t struct_size;
  /* SIDECALL_VERIFY_*. The environment variable SIDECALL_VERIFY=error|warn|off takes precedence. */
  int32_t verify;
  int32_t extra;              /* SIDECALL_EXTRA_* */
  int32_t allow_exec;         /* 1 allows exec: URIs. Leave it 0 if URIs may come from outside. */
  int64_t timeout_ns;         /* deadline of sidecall_predict_json; the default is -1 */
  /* How long to wait for the server of a remote model to start. Applies at open, and to a run that
   * finds the server restarting; such a run never waits beyond its own deadline. 0, the default,
   * does not wait; -1 waits forever. Runs on other hosts (http:, grpc:) do not wait. */
  int64_t wait_ns;
  /* Path of the ONNX Runtime library; NULL searches as sidecall_engine_describe documents. */
  const char *onnxruntime;
  /* For bindings: the path of the ONNX Runtime library that a package manager has installed; or
   * NULL. It is one more place to search (sidecall_engine_describe gives the order). */
  const char *onnxruntime_package;
  /* SIDECALL_ENGINE_*. A query of the URI takes precedence over this option, and the environment
   * variable SIDECALL_ENGINE=auto|native|onnxruntime over both. With SIDECALL_ENGINE_NATIVE,
   * opening fails with UNSUPPORTED if the engine lacks an operator of the model; the message names
   * the node. */
  int32_t engine;
  int32_t reserved;           /* 0 */
};

/* Fills `options` with the defaults and sets struct_size. NULL is allowed; cannot fail. */
#define sidecall_model_options_init(options) \
  sidecall_model_options_init_sized((options), sizeof(sidecall_model_options))
SIDECALL_API void sidecall_model_options_init_sized(sidecall_model_options *options, size_t size);

/* Opens a call: a reusable workspace whose buffers the engine itself reads and writes.
 *
 * rows        1 or more: the first dimension of every input where that dimension is free
 * out_call    the handle, which the caller closes with sidecall_call_close
 *
 * Other free dimensions start at 1; sidecall_call_reshape sets them. Before the first run every
 * input must be given: feature by feature (part 2) or as a tensor (part 4). Values stay for
 * the next run.
 *
 * Opening a call, giving inputs and changing shapes never wait for another process. Over shared
 * memory, the inputs lie in memory that the server reads too; a call without a connection makes one
 * in its first run, and keeps it until it is closed. The next call of the model then uses it.
 *
 * While a run is under way, the functions of its call answer BUSY. Exceptions: sidecall_call_rows,
 * _cancel, _close, _error and _expected_ns.
 *
 * Errors: INVALID_ARGUMENT, OUT_OF_MEMORY; for remote models also FORKED, and OUT_OF_RANGE (the
 * server takes fewer bytes of inputs). */
SIDECALL_API sidecall_status sidecall_call_open(const sidecall_model *model, int64_t rows,
                                                sidecall_call **out_call, sidecall_error *err);

/* Cancels a run that is under way, and releases the call. Never waits for another process. If the
 * engine of this process still works on the run, this function returns at once, and the library
 * releases the memory of the call when the engine is done. It waits for the engine only if the call
 * uses memory of the caller (sidecall_call_bind_input, sidecall_call_bind_output), because the
 * caller may release that memory next. NULL is allowed; cannot fail. */
SIDECALL_API void sidecall_call_close(sidecall_call *call);

/* ==== 2. Records ===============================================================================
 *
 * A record is one row as a set of features. Look the indices of the names up once. Then, for each
 * record: clear the call, set features, run, read columns. A call for n rows holds n records.
 *
 *   for (;;) {
 *     sidecall_fault faults[32];
 *     err.faults = faults;           // a run fills one element for each bad value or row
 *     err.faults_capacity = 32;
 *     if (!next_order(&order)) break;
 *     sidecall_call_clear(call, &err);
 *     // Features that are not set are missing.
 *     sidecall_call_set_f64(call, 0, amount, order.amount, &err);
 *     sidecall_call_set_str(call, 0, country, order.country, 2, &err);
 *     if (sidecall_call_run(call, -1, &err)) {  // also reports what the set functions refused
 *       fprintf(stderr, "%s\n", err.message);
 *       for (uint32_t i = 0; i < err.num_faults && i < 32; ++i) puts(faults[i].message);
 *       continue;
 *     }
 *     sidecall_call_get_str(call, 0, label, &text, &length, &err);  // not terminated by NUL
 *     printf("%.*s\n", (int)length, text);
 *   }
 *
 * Which set and get functions fit a name depends on its type, which is in the contract. A program
 * that does not know its model asks sidecall_model_feature_spec and sidecall_model_column_spec
 * (part 3).
 *
 * sidecall_predict_json does all of this for records that arrive as JSON text. */

/* Return the index of a name, or -1 if the model does not have it. Look each name up once and keep
 * the index. Functions that take an index answer UNKNOWN_NAME for -1, but cannot say which name it
 * was; sidecall_model_find can. */
SIDECALL_API int32_t sidecall_model_input(const sidecall_model *model, const char *name);
SIDECALL_API int32_t sidecall_model_output(const sidecall_model *model, const char *name);
SIDECALL_API int32_t sidecall_model_feature(const sidecall_model *model, const char *name);
SIDECALL_API int32_t sidecall_model_column(const sidecall_model *model, const char *name);

/* Set one feature of one row. `row` counts from 0, `feature` is an index of sidecall_model_feature.
 *
 * set_f64     for float32 and float64 features, and for int64 if the value is whole. NaN is
 *             missing.
 * set_i64     for int64, float32 and float64 features. For a datetime feature, `value` is the count
 *             in the unit of the feature, as in its tensor; INT64_MIN is missing.
 * set_bool    for bool features only; `value` is 0 or 1
 * set_str     for string and datetime features; `value` has `length` bytes and is copied. A
 *             datetime is ISO 8601: a date, or a date and a time with up to 9 digits of a fraction.
 *             With a time zone in the contract it ends with a zone ("2026-01-31T12:30:00Z",
 *             "2026-01-31 13:30+01:00"); without one it must not ("2026-01-31").
 * set_datetime for datetime features only. The arguments are those of struct timespec: seconds
 *             since 1970, and nanoseconds from 0 to 999 999 999 that are added. They count in UTC,
 *             or of the wall clock for a feature without a zone. A part of a second that the
 *             unit of the feature does not hold is refused with OUT_OF_RANGE.
 * set_missing for every nullable feature
 *
 * Values stay for the next run, until sidecall_call_clear: to change one feature of the same
 * record, set only that one. A nullable feature that is not set is missing. A feature that is
 * neither nullable nor set makes the run fail with MISSING_VALUE. A run before the first set or
 * clear fails with MISSING_INPUT.
 *
 * A value that is refused is remembered too, until the feature is set again or sidecall_call_clear
 * is called. The run then fails and reports all such faults together, so a program may ignore the
 * status of these functions and check that of the run. Refusals are DTYPE_MISMATCH, MISSING_VALUE,
 * UNKNOWN_CATEGORY, INVALID_STRING and OUT_OF_RANGE. No other error is remembered, such as
 * UNKNOWN_NAME for feature -1 or INVALID_ARGUMENT: check indices once, after looking them up.
 *
 * Errors: UNKNOWN_NAME (feature is -1), INVALID_ARGUMENT (row or index out of range; a bool that is
 * not 0 or 1; nanoseconds of a second or more; the input is bound to the caller's memory),
 * DTYPE_MISMATCH, MISSING_VALUE, UNKNOWN_CATEGORY, INVALID_STRING (also: a datetime with digits
 * that the unit of the feature does not hold), OUT_OF_RANGE (beyond the feature's type or unit, or
 * not accepted by the model), NO_CONTRACT, BUSY. */
SIDECALL_API sidecall_status sidecall_call_set_f64(sidecall_call *call, int64_t row,
                                                   int32_t feature, double value,
                                                   sidecall_error *err);
SIDECALL_API sidecall_status sidecall_call_set_i64(sidecall_call *call, int64_t row,
                                                   int32_t feature, int64_t value,
                                                   sidecall_error *err);
SIDECALL_API sidecall_status sidecall_call_set_bool(sidecall_call *call, int64_t row,
                                                    int32_t feature, int32_t value,
                                                    sidecall_error *err);
SIDECALL_API sidecall_status sidecall_call_set_str(sidecall_call *call, int64_t row,
                                                   int32_t feature, const char *value,
                                                   size_t length, sidecall_error *err);
SIDECALL_API sidecall_status sidecall_call_set_datetime(sidecall_call *call, int64_t row,
                                                        int32_t feature, int64_t seconds,
                                                        int32_t nanoseconds, sidecall_error *err);
SIDECALL_API sidecall_status sidecall_call_set_missing(sidecall_call *call, int64_t row,
                                                       int32_t feature, sidecall_error *err);

/* Begins the next record or records: makes every feature of every row missing, and forgets tensors
 * that were given and values that were refused. Call it before every new record, the first one too.
 * A run directly after it is allowed, if every feature is nullable.
 *
 * Errors: NO_CONTRACT, BUSY. */
SIDECALL_API sidecall_status sidecall_call_clear(sidecall_call *call, sidecall_error *err);

/* Runs the call once: checks and reads its inputs, fills its outputs, and returns when that is
 * done.
 *
 * timeout_ns  more than 0, or -1.
 *             Local: -1 waits forever and costs nothing. A deadline is checked between graph nodes;
 *             a run that completes late still succeeds.
 *             Remote: -1 is 30 seconds, or over shared memory what the server has set instead
 *             (sidecall_server_options.timeout_ns). A deadline is exact, whatever the server does.
 *             Over shared memory, the server may still use the memory of the call after a TIMEOUT:
 *             the next run then waits for it first, within its own deadline.
 *
 * Before the engine starts, the values are checked, including those of tensors that were given
 * whole. The checks find missing values in features that are not nullable, numbers that the model
 * does not accept, and values outside a closed list of categories. All values that the set
 * functions refused are reported again here, together.
 *
 * Each row is judged on its own. If a run over many rows fails because of their values, the error
 * names every bad row (see sidecall_error). The features are checked first. The model runs only if
 * they have no fault; each row that it cannot answer then gets one REFUSED, for one of two reasons:
 * a step of the model does not accept a number that an earlier step computed (`name` is the step),
 * or the answer is not finite although all answers of this model should be (`name` is the column).
 *
 * After a failure the outputs are invalid; the inputs stay. Does not allocate memory once the
 * shapes of the outputs are known.
 *
 * Errors: INVALID_ARGUMENT (timeout_ns is 0 or below -1), MISSING_INPUT, SHAPE_MISMATCH (inputs
 * disagree), MISSING_VALUE, OUT_OF_RANGE, UNKNOWN_CATEGORY, REFUSED, TIMEOUT, CANCELLED, ENGINE,
 * OUT_OF_MEMORY, BUSY; DTYPE_MISMATCH and INVALID_STRING if a set function refused a value; for
 * remote models also PEER_DIED (the server died during this run; a run that it had not
 * begun is sent to the restarted server), UNREACHABLE, CONTRACT_CHANGED (open the model again),
 * DENIED, PROTOCOL, FORKED. */
SIDECALL_API sidecall_status sidecall_call_run(sidecall_call *call, int64_t timeout_ns,
                                               sidecall_error *err);

/* Asks the run to end with CANCELLED: a run of sidecall_call_run, or one that a queue has. It may
 * still end with another outcome if it completes first. Without a run it does nothing. May be
 * called from any thread, but not at the same time as sidecall_call_close or after it. NULL is
 * allowed; cannot fail. */
SIDECALL_API void sidecall_call_cancel(sidecall_call *call);

/* Read one column of one row after a successful run. `row` counts from 0, `column` is an index of
 * sidecall_model_column.
 *
 * get_f64     numeric columns, and bool as 0 or 1. An integer beyond +-2^53 is OUT_OF_RANGE.
 * get_i64     integer columns, and bool as 0 or 1. A uint64 beyond int64 is OUT_OF_RANGE.
 * get_str     string columns: *out_length bytes, not terminated by NUL, which live as long as a
 *             view (see Lifetime)
 *
 * Setting the values of the next record does not change what is read, until it is run.
 *
 * Errors: UNKNOWN_NAME (column is -1), INVALID_ARGUMENT (row or index out of range), DTYPE_MISMATCH
 * (a column of another type), SHAPE_MISMATCH (the run gave another shape than the graph declares),
 * NOT_RUN, OUT_OF_RANGE, BUSY. */
SIDECALL_API sidecall_status sidecall_call_get_f64(sidecall_call *call, int64_t row, int32_t column,
                                                   double *out_value, sidecall_error *err);
SIDECALL_API sidecall_status sidecall_call_get_i64(sidecall_call *call, int64_t row, int32_t column,
                                                   int64_t *out_value, sidecall_error *err);
SIDECALL_API sidecall_status sidecall_call_get_str(sidecall_call *call, int64_t row, int32_t column,
                                                   const char **out_value, size_t *out_length,
                                                   sidecall_error *err);

/* ---- Many values with one function call --------------------------------------------------------
 *
 * The functions above handle one value. Where a function call is expensive, as it is from most
 * other languages, or where the values lie in arrays anyway, use these:
 *
 *   sidecall_call_set_row          several features of one row, of any types
 *   sidecall_call_set_row_f64      the same from an array of doubles
 *   sidecall_call_set_feature_*    one feature of all rows: a column of a table
 *   sidecall_call_get_row          several columns of one row, of any types
 *   sidecall_call_get_row_f64      the same into an array of doubles
 *   sidecall_call_get_column_*     one column of all rows
 *
 * A matrix of numbers is a tensor: part 4. A record with two features, in a call with one row:
 *
 *   sidecall_value record[2] = {{0}}, answer[3];
 *   record[0].kind = SIDECALL_VALUE_F64;
 *   record[0].f64 = order.amount;
 *   record[1].kind = SIDECALL_VALUE_STR;
 *   record[1].text = order.country;
 *   record[1].length = 2;
 *   sidecall_call_set_row(call, 0, features, record, 2, &err);  // the run reports what is refused
 *   if (sidecall_call_run(call, -1, &err) || sidecall_call_get_row(call, 0, NULL, answer, 3, &err))
 *     fprintf(stderr, "%s\n", err.message);
 *
 * A table, in a call with num_rows rows:
 *
 *   sidecall_call_set_feature_f64(call, amount, table.amount, NULL, num_rows, &err);
 *   sidecall_call_set_feature_str(call, country, table.bytes, table.num_bytes, table.offsets,
 *                                 table.country_is_missing, num_rows, &err);
 *   if (sidecall_call_run(call, -1, &err) ||
 *       sidecall_call_get_column_f64(call, fraud, table.fraud, num_rows, &err))
 *     fprintf(stderr, "%s\n", err.message);
 *
 * Each value is treated as by the function for a single value. A value that is refused is
 * remembered and reported by the run, and the other values are set. The function then returns the
 * first refusal, in the order of the values, as its only fault.
 *
 * If a set function here fails for another reason, none of its values can be relied on, and runs
 * fail with the same error, so that no run answers for the values of before. This ends with
 * sidecall_call_clear, _reset, or _resize to another number of rows, or when sidecall_call_set_row
 * sets all features of a call with one row. So checking the run is enough, except after BUSY: then
 * nothing has changed. */

/* What a sidecall_value holds, and in which fields. The function in brackets sets such a value. */
#define SIDECALL_VALUE_MISSING 0        /* no field [set_missing] */
#define SIDECALL_VALUE_F64 1            /* f64 [set_f64] */
#define SIDECALL_VALUE_I64 2            /* i64 [set_i64] */
#define SIDECALL_VALUE_BOOL 3           /* i64: 0 or 1 [set_bool] */
#define SIDECALL_VALUE_STR 4            /* text and length [set_str] */
#define SIDECALL_VALUE_DATETIME 5       /* i64: seconds; and nanoseconds [set_datetime] */

/* One value of a row: of a feature to set, or of a column that was read. All zeros is a missing
 * value. This struct is an element of an array of the caller, so its size stays the same within a
 * SONAME. */
typedef struct sidecall_value {
  int32_t kind;               /* SIDECALL_VALUE_*; fields that the kind does not name are ignored */
  int32_t nanoseconds;        /* from 0 to 999 999 999, added to the seconds of a datetime */
  double f64;
  int64_t i64;
  const char *text;           /* `length` bytes of UTF-8; a NUL at the end is not needed */
  size_t length;
} sidecall_value;

/* Set several features of one row.
 *
 * row         from 0
 * features    `count` indices of sidecall_model_feature. If one occurs twice, the later value is
 *             used. NULL for all features of the model, in the order of
 *             sidecall_model_feature_spec; `count` must then be their number.
 * values      `count` values; texts are copied. set_row_f64 takes what sidecall_call_set_f64 takes:
 *             NaN is missing, and bool, string and datetime features refuse every number.
 * count       may be 0 if `features` is not NULL; nothing is set or checked then
 *
 * A bool that is not 0 or 1, and nanoseconds of a second or more, are refused with OUT_OF_RANGE and
 * remembered, unlike in the functions for a single value.
 *
 * Errors: those of sidecall_call_set_f64. INVALID_ARGUMENT also: `count` is negative, or is not the
 * number of features although `features` is NULL; a kind that is not SIDECALL_VALUE_*; a `text`
 * that is NULL although `length` is not 0. */
SIDECALL_API sidecall_status sidecall_call_set_row(sidecall_call *call, int64_t row,
                                                   const int32_t *features,
                                                   const sidecall_value *values, int64_t count,
                                                   sidecall_error *err);
SIDECALL_API sidecall_status sidecall_call_set_row_f64(sidecall_call *call, int64_t row,
                                                       const int32_t *features,
                                                       const double *values, int64_t count,
                                                       sidecall_error *err);

/* Set one feature of all rows, the value of row 0 first.
 *
 * values      `count` values. set_feature_i64: of a datetime feature, counts in its unit
 *             (sidecall_feature_spec). set_feature_bool: bytes of 0 or 1; another byte is refused
 *             with OUT_OF_RANGE and remembered.
 * data, data_bytes, offsets
 *             the texts back to back as UTF-8, with a total of data_bytes, and count + 1 positions
 *             in `data`, in bytes, as in sidecall_view. offsets[0] need not be 0. For string
 *             features, and for datetime features as ISO 8601. Texts are copied.
 * seconds, nanoseconds
 *             `count` datetimes, as for sidecall_call_set_datetime; nanoseconds may be NULL if all
 *             are 0. Nanoseconds of a second or more are refused with OUT_OF_RANGE and remembered.
 * missing     `count` bytes: not 0 where the value is missing (the opposite of a mask of valid
 *             values); whatever stands in its place is ignored. NULL if no value is marked as
 *             missing. What means missing in the functions for a single value means it here too:
 *             NaN, INT64_MIN of a datetime, SIDECALL_MISSING_STRING.
 * count       the number of rows of the call (sidecall_call_rows)
 *
 * Errors: those of sidecall_call_set_f64. INVALID_ARGUMENT also: `count` is another number; offsets
 * that decrease, also where a value is missing, or that lie outside of `data`. */
SIDECALL_API sidecall_status sidecall_call_set_feature_f64(sidecall_call *call, int32_t feature,
                                                           const double *values,
                                                           const uint8_t *missing, int64_t count,
                                                           sidecall_error *err);
SIDECALL_API sidecall_status sidecall_call_set_feature_i64(sidecall_call *call, int32_t feature,
                                                           const int64_t *values,
                                                           const uint8_t *missing, int64_t count,
                                                           sidecall_error *err);
SIDECALL_API sidecall_status sidecall_call_set_feature_bool(sidecall_call *call, int32_t feature,
                                                            const uint8_t *values,
                                                            const uint8_t *missing, int64_t count,
                                                            sidecall_error *err);
SIDECALL_API sidecall_status sidecall_call_set_feature_str(sidecall_call *call, int32_t feature,
                                                           const char *data, uint64_t data_bytes,
                                                           const int64_t *offsets,
                                                           const uint8_t *missing, int64_t count,
                                                           sidecall_error *err);
SIDECALL_API sidecall_status sidecall_call_set_feature_datetime(
    sidecall_call *call, int32_t feature, const int64_t *seconds, const int32_t *nanoseconds,
    const uint8_t *missing, int64_t count, sidecall_error *err);

/* Read several columns of one row after a successful run.
 *
 * row         from 0
 * columns     `count` indices of sidecall_model_column. NULL for all columns of the model, in the
 *             order of sidecall_model_column_spec; `count` must then be their number.
 * out_values  filled with `count` values. get_row_f64 reads what sidecall_call_get_f64 reads, so it
 *             fails for a string column. get_row: the kind is F64 for float32 and float64, I64 for
 *             integers, BOOL and STR, never MISSING or DATETIME; the other fields are 0. Columns of
 *             other types cannot be read. A text lives as long as that of sidecall_call_get_str.
 *
 * After a failure the contents of *out_values are not specified.
 *
 * Errors: those of sidecall_call_get_f64. INVALID_ARGUMENT also: `count` is negative, or is not the
 * number of columns although `columns` is NULL. */
SIDECALL_API sidecall_status sidecall_call_get_row(sidecall_call *call, int64_t row,
                                                   const int32_t *columns,
                                                   sidecall_value *out_values, int64_t count,
                                                   sidecall_error *err);
SIDECALL_API sidecall_status sidecall_call_get_row_f64(sidecall_call *call, int64_t row,
                                                       const int32_t *columns, double *out_values,
                                                       int64_t count, sidecall_error *err);

/* Read one column of all rows after a successful run, that of row 0 first. A bool column is read by
 * get_column_i64, as 0 or 1.
 *
 * out_values  filled with `count` values
 * out_values, out_lengths
 *             get_column_str: `count` texts of out_lengths[k] bytes, not terminated by NUL, which
 *             live as long as that of sidecall_call_get_str
 * count       the number of rows of the column's output after the last run: that of the call
 *             (sidecall_call_rows), unless the graph itself gives more rows or fewer
 *
 * After a failure the contents of the arrays are not specified.
 *
 * Errors: those of sidecall_call_get_f64. INVALID_ARGUMENT also: `count` is another number. */
SIDECALL_API sidecall_status sidecall_call_get_column_f64(sidecall_call *call, int32_t column,
                                                          double *out_values, int64_t count,
                                                          sidecall_error *err);
SIDECALL_API sidecall_status sidecall_call_get_column_i64(sidecall_call *call, int32_t column,
                                                          int64_t *out_values, int64_t count,
                                                          sidecall_error *err);
SIDECALL_API sidecall_status sidecall_call_get_column_str(sidecall_call *call, int32_t column,
                                                          const char **out_values,
                                                          size_t *out_lengths, int64_t count,
                                                          sidecall_error *err);

/* Sets the number of rows, 1 or more. All inputs and all refused values are forgotten, as by
 * sidecall_call_reset, and the results of the last run are lost. Does nothing if the call has that
 * many rows already.
 *
 * Errors: INVALID_ARGUMENT, BUSY, OUT_OF_MEMORY. */
SIDECALL_API sidecall_status sidecall_call_resize(sidecall_call *call, int64_t rows,
                                                  sidecall_error *err);

/* Returns the number of rows; 0 for NULL. If inputs are given as whole tensors, the number follows
 * from their shapes at the next run. */
SIDECALL_API int64_t sidecall_call_rows(const sidecall_call *call);

/* A text that the library allocated. The caller releases it with sidecall_text_close. */
typedef struct sidecall_text {
  const char *data;           /* UTF-8, followed by a NUL */
  size_t length;              /* in bytes, without that NUL */
} sidecall_text;

/* Releases a text that the library returned through an out parameter. NULL is allowed; cannot
 * fail. */
SIDECALL_API void sidecall_text_close(sidecall_text *text);

/* Predicts for one record, {"amount": 12.5, "country": "DE"}, or for an array of records.
 *
 * json        `length` bytes of JSON text; a NUL at the end is not needed
 * out         the answer, which the caller closes: an object for one record, an array for an array.
 *             {"label":"no","probabilities":{"no":0.9,"yes":0.1}}. The classes are in the order of
 *             the contract.
 *
 * The order of keys does not matter. An absent key and null are missing values; NaN is not JSON. An
 * answer that is NaN or infinite is written as null. Integers are accepted for floats, and whole
 * floats for integers; no other type is converted. The timeout is the timeout_ns of the options
 * with which the model was opened; see sidecall_predict_json_within for what it counts.
 *
 * Any number of threads may call this at once: each uses a workspace of its own, which the model
 * keeps and reuses. Takes about one and a half times as long as the same run through a call.
 *
 * Errors: NO_CONTRACT, INVALID_JSON, UNKNOWN_NAME, DTYPE_MISMATCH, MISSING_VALUE, UNKNOWN_CATEGORY,
 * INVALID_STRING, OUT_OF_RANGE, REFUSED, SHAPE_MISMATCH (an empty array), TIMEOUT, ENGINE; for
 * remote models also those of sidecall_call_run. Reports all faults of all records together. */
SIDECALL_API sidecall_status sidecall_predict_json(const sidecall_model *model, const char *json,
                                                   size_t length, sidecall_text **out,
                                                   sidecall_error *err);

/* Does the same with a deadline of its own, for programs whose callers say how long they wait.
 *
 * timeout_ns  as for sidecall_call_run; the timeout_ns of the model's options does not apply. The
 *             time counts from this call on, so the run gets what is left after the records were
 *             read. Writing the answer is not counted.
 *
 * Errors: those of sidecall_predict_json; INVALID_ARGUMENT (timeout_ns is 0). */
SIDECALL_API sidecall_status sidecall_predict_json_within(const sidecall_model *model,
                                                          const char *json, size_t length,
                                                          int64_t timeout_ns, sidecall_text **out,
                                                          sidecall_error *err);

/* ==== 3. The model =============================================================================
 *
 * What a program can ask about a model. The answers belong to the model and live as long as it
 * does.
 */

/* The numbers of ONNX (TensorProto.DataType). */
#define SIDECALL_DTYPE_FLOAT32 1
#define SIDECALL_DTYPE_UINT8 2
#define SIDECALL_DTYPE_INT8 3
#define SIDECALL_DTYPE_UINT16 4
#define SIDECALL_DTYPE_INT16 5
#define SIDECALL_DTYPE_INT32 6
#define SIDECALL_DTYPE_INT64 7
#define SIDECALL_DTYPE_STRING 8
#define SIDECALL_DTYPE_BOOL 9           /* one byte, 0 or 1 */
#define SIDECALL_DTYPE_FLOAT16 10       /* IEEE half precision, as raw 16 bits */
#define SIDECALL_DTYPE_FLOAT64 11
#define SIDECALL_DTYPE_UINT32 12
#define SIDECALL_DTYPE_UINT64 13
#define SIDECALL_DTYPE_BFLOAT16 16      /* as raw 16 bits */
#define SIDECALL_DTYPE_FLOAT8E4M3FN 17  /* the 8-bit floats: one raw byte each */
#define SIDECALL_DTYPE_FLOAT8E4M3FNUZ 18
#define SIDECALL_DTYPE_FLOAT8E5M2 19
#define SIDECALL_DTYPE_FLOAT8E5M2FNUZ 20
#define SIDECALL_DTYPE_UINT4 21         /* 4-bit types: two per byte, the first in the low half */
#define SIDECALL_DTYPE_INT4 22

/* The type of a feature, not of a tensor: its values are dates with a time. The tensor is int64 and
 * counts a unit since 1970 (see sidecall_feature_spec). */
#define SIDECALL_DTYPE_DATETIME 100

/* Returns the name of a type as a static string: "float32", "string", "datetime", ..., as every
 * language and message spells it; "unknown" for other numbers. Cannot fail. Any thread. */
SIDECALL_API const char *sidecall_dtype_name(int32_t dtype);

/* Returns the bits of one element: 32 for float32, 8 for bool, 4 for int4, 0 for string, datetime
 * and other numbers. Cannot fail. Any thread. */
SIDECALL_API int32_t sidecall_dtype_bits(int32_t dtype);

/* One input or output tensor of the graph. */
typedef struct sidecall_tensor_spec {
  const char *name;
  const int64_t *dims;        /* `rank` sizes; -1 for a free dimension */
  const char *const *dim_names; /* `rank` names; "" for a dimension without a name in the graph */
  int32_t dtype;              /* an element type, such as SIDECALL_DTYPE_FLOAT32 */
  /* 0 for a scalar. Also 0 for an output whose shape the graph does not declare; its shape is known
   * after a run. */
  int32_t rank;
  int32_t has_rows;           /* 1 if the first dimension is free: it is the number of rows */
  int32_t reserved;
} sidecall_tensor_spec;

/* One feature of the contract: a key of a record. */
typedef struct sidecall_feature_spec {
  const char *name;           /* as the user wrote it */
  int32_t dtype;              /* the values of records: FLOAT32, FLOAT64, INT64, BOOL, STRING or
                               * DATETIME */
  int32_t nullable;           /* 1 if the model accepts a missing value */
  int32_t input;              /* index of the input tensor that holds the value */
  int32_t column;             /* and the column of that tensor, from 0 */
  /* Of a datetime; "" for other features. */
  const char *unit;           /* what the int64 tensor counts since 1970: "s", "ms", "us" or "ns" */
  const char *zone;           /* "Europe/Berlin": the tensor counts in UTC. "" for a datetime
                               * without a zone: it counts the time of the wall clock. */
  const char *epoch;          /* what a plain number in a record counts since 1970 in UTC; "" if
                               * numbers are refused */
} sidecall_feature_spec;

/* Where the value of a column stands in the answer to a record. */
#define SIDECALL_FORM_SCALAR 0          /* {"label": value} */
#define SIDECALL_FORM_MEMBER 1          /* {"probabilities": {key: value, ...}} */
#define SIDECALL_FORM_ELEMENT 2         /* {"prediction": [value, ...]} */

/* One column of the outputs: "label", "probabilities.fraud", "prediction.0". The columns of one
 * output stand together, in order. */
typedef struct sidecall_column_spec {
  const char *name;
  const char *key;            /* the class ("fraud") or the position ("0"); "" for a scalar */
  int32_t dtype;              /* what sidecall_call_get_* reads: FLOAT32, INT64, STRING, ... */
  int32_t output;             /* index of the output tensor; its name is the key in the record */
  int32_t column;             /* and the column of that tensor, from 0 */
  int32_t form;               /* SIDECALL_FORM_* */
} sidecall_column_spec;

/* The num_ functions return the number of inputs, outputs, features or columns. The _spec functions
 * describe one of them, by its index from 0; they return NULL if the index is out of range. A spec
 * belongs to the model.
 *
 * A model without a contract has no features. It still has columns, for each output whose first
 * dimension is the number of rows: an output of rank 1 has one column, and an output of rank 2 with
 * a fixed width of at most 2^20 has one column for each element of a row. */
SIDECALL_API int32_t sidecall_model_num_inputs(const sidecall_model *model);
SIDECALL_API int32_t sidecall_model_num_outputs(const sidecall_model *model);
SIDECALL_API int32_t sidecall_model_num_features(const sidecall_model *model);
SIDECALL_API int32_t sidecall_model_num_columns(const sidecall_model *model);
SIDECALL_API const sidecall_tensor_spec *sidecall_model_input_spec(const sidecall_model *model,
                                                                   int32_t input);
SIDECALL_API const sidecall_tensor_spec *sidecall_model_output_spec(const sidecall_model *model,
                                                                    int32_t output);
SIDECALL_API const sidecall_feature_spec *sidecall_model_feature_spec(const sidecall_model *model,
                                                                      int32_t feature);
SIDECALL_API const sidecall_column_spec *sidecall_model_column_spec(const sidecall_model *model,
                                                                    int32_t column);

#define SIDECALL_KIND_INPUT 0
#define SIDECALL_KIND_OUTPUT 1
#define SIDECALL_KIND_FEATURE 2
#define SIDECALL_KIND_COLUMN 3

/* Looks a name up like the functions above. Its error names what was asked for and what there is:
 * "input 'y': expected one of 'x', got an unknown name".
 *
 * kind        SIDECALL_KIND_*
 * name        `length` bytes; a NUL at the end is not needed
 * out_index   the index; -1 on failure
 *
 * Errors: UNKNOWN_NAME, INVALID_ARGUMENT. */
SIDECALL_API sidecall_status sidecall_model_find(const sidecall_model *model, int32_t kind,
                                                 const char *name, size_t length,
                                                 int32_t *out_index, sidecall_error *err);

/* Returns the contract as JSON, exactly as stored in the file (docs/contract.md), or NULL without
 * one. *out_length is its length in bytes; out_length may be NULL. */
SIDECALL_API const char *sidecall_model_contract(const sidecall_model *model, size_t *out_length);

/* Return the model's name and version from the contract, "" without one. */
SIDECALL_API const char *sidecall_model_name(const sidecall_model *model);
SIDECALL_API const char *sidecall_model_version(const sidecall_model *model);

/* Returns the id of the model: the SHA-256, in lower-case hexadecimal, of all bytes of the file and
 * of its external files (docs/contract.md, "The id"). Models with the same id have the same graph,
 * weights and contract.
 *
 * An exported file holds its id, and opening compares it with the bytes. The id of another file is
 * computed when it is first asked for. For a remote model it is the id of what the server runs now:
 * after a restart that may be another model with the same inputs and outputs. "" for a served
 * function without an id. */
SIDECALL_API const char *sidecall_model_id(const sidecall_model *model);

/* Return the engine that runs the model, with its version ("native 2", "onnxruntime 1.32.0"), and
 * one line that says why it was taken ("the export proved the file on it"). For a remote model they
 * are the name of the server and "". */
SIDECALL_API const char *sidecall_model_engine(const sidecall_model *model);
SIDECALL_API const char *sidecall_model_engine_reason(const sidecall_model *model);

/* Where the runs of a model happen. Further routes may get further numbers. */
#define SIDECALL_ROUTE_IN_PROCESS 1     /* in this process: a file, bytes, or a served function */
#define SIDECALL_ROUTE_OTHER_PROCESS 2  /* in another process of this host, over shared memory */
#define SIDECALL_ROUTE_NETWORK 3        /* on a server, over a network protocol */

/* Returns the SIDECALL_ROUTE_* of the model; 0 for NULL. A program does not need it to run the
 * model: all functions work the same way on every route. */
SIDECALL_API int32_t sidecall_model_route(const sidecall_model *model);

/* Returns why verification failed under SIDECALL_VERIFY_WARN; NULL if it did not fail. */
SIDECALL_API const char *sidecall_model_warning(const sidecall_model *model);

/* Runs the golden rows now, whatever options.verify was. *out is a JSON report, which the caller
 * closes:
 *
 *   {"id": "...", "rows": 12,
 *    "outputs": [{"name": "probabilities", "largest": 1.2e-7, "absolute": 1e-6,
 *                 "relative": 1e-5, "holds": true}, ...],
 *    "source": "synthetic", "engine": "onnxruntime 1.32.0"}
 *
 * "largest" is the largest difference, "absolute" and "relative" are the tolerances. "rows" is 0 if
 * the export left the golden rows out. Unlike other failures, VERIFICATION_FAILED returns the
 * report too; its member "failure" then holds the reason.
 *
 * Errors: NO_CONTRACT, VERIFICATION_FAILED, ENGINE, and those of sidecall_call_run. */
SIDECALL_API sidecall_status sidecall_model_verify(const sidecall_model *model, sidecall_text **out,
                                                   sidecall_error *err);

/* ==== 4. Tensors ===============================================================================
 *
 * Whole inputs and outputs by index, instead of features and columns. Three ways to give an input:
 * - copy it (sidecall_call_copy_input), which is the fastest way for a few KiB
 * - write into the memory that the engine reads (sidecall_call_input)
 * - let the engine read the caller's memory (sidecall_call_bind_input)
 * Features and tensors may be mixed: the value that was set last is used. */

/* A tensor in memory, in C order (the last dimension varies fastest). The strings of a string
 * tensor lie back to back in `data` as UTF-8. `offsets` has one entry more than there are elements,
 * in bytes: element k is data[offsets[k]] up to, not including, data[offsets[k + 1]]. */
typedef struct sidecall_view {
  uint32_t struct_size;
  int32_t dtype;              /* an element type, such as SIDECALL_DTYPE_FLOAT32 */
  int32_t rank;
  uint32_t flags;             /* SIDECALL_VIEW_*, set by the library; ignored on input */
  const int64_t *dims;        /* `rank` sizes */
  void *data;
  uint64_t data_bytes;        /* of all elements; of all text in a string tensor */
  const int64_t *offsets;     /* string tensors only; otherwise NULL */
} sidecall_view;

/* The memory may be read but not written: the output lies in memory that a server shares with this
 * process, and a write there crashes the program. */
#define SIDECALL_VIEW_READ_ONLY 1

#ifdef __cplusplus
#define SIDECALL_VIEW_INIT { sizeof(sidecall_view), 0, 0, 0, nullptr, nullptr, 0, nullptr }
#else
#define SIDECALL_VIEW_INIT { sizeof(sidecall_view), 0, 0, 0, NULL, NULL, 0, NULL }
#endif

/* Makes `view` empty and sets struct_size, like SIDECALL_VIEW_INIT. NULL is allowed; cannot
 * fail. */
#define sidecall_view_init(view) sidecall_view_init_sized((view), sizeof(sidecall_view))
SIDECALL_API void sidecall_view_init_sized(sidecall_view *view, size_t size);

/* Stands for a missing value of a string feature, in whole string tensors and wherever a string
 * feature is set: U+FDD0, which Unicode assigns to no character. It is refused with
 * MISSING_VALUE where the feature is not nullable. The empty string is an ordinary value. In float
 * tensors NaN is missing. */
#define SIDECALL_MISSING_STRING "\xEF\xB7\x90"

/* Fills *out_view with the memory of an input, so that the caller can write the values there: the
 * engine reads that memory in place. From now on the input counts as given. For a string input
 * `data` and `offsets` are NULL: use sidecall_call_set_strings.
 *
 * If the model has a contract, the values of a new view are missing until the caller writes them.
 * A run refuses missing values of features that may not be missing (MISSING_VALUE). The int64 whose
 * bytes are all 0xA5 marks a value of such a feature that was not written. So the feature cannot
 * have this value; sidecall_call_set_i64 refuses it with OUT_OF_RANGE.
 *
 * The memory stays where it is until that input is given in another way, reshaped or resized. The
 * caller may keep the view, and write new values before each run.
 *
 * Errors: UNKNOWN_NAME (input is -1), INVALID_ARGUMENT, BUSY. */
SIDECALL_API sidecall_status sidecall_call_input(sidecall_call *call, int32_t input,
                                                 sidecall_view *out_view, sidecall_error *err);

/* Fills *out_view with the memory of an output.
 *
 * Before a run `data` is NULL. The view then has the shape of the coming output if the shape
 * follows from the inputs; otherwise rank is -1, because only a run can tell. After a successful
 * run the view has the values, which are valid until the next run. If the shape follows from the
 * inputs, the memory stays where it is until a shape changes, the output is bound, or a run fails.
 *
 * Over shared memory, large outputs may lie in memory of the server. They stay readable whatever
 * happens to the server, but must not be written (SIDECALL_VIEW_READ_ONLY in `flags`).
 *
 * Errors: UNKNOWN_NAME (output is -1), INVALID_ARGUMENT, SHAPE_MISMATCH (inputs disagree), BUSY. */
SIDECALL_API sidecall_status sidecall_call_output(sidecall_call *call, int32_t output,
                                                  sidecall_view *out_view, sidecall_error *err);

/* Gives an input a whole tensor, with its shape, by copying it. The fastest way for tensors of a
 * few KiB.
 *
 * view        dtype, rank, dims, data and data_bytes; offsets for strings. The caller keeps its
 *             memory. A missing string is SIDECALL_MISSING_STRING.
 *
 * A float64 input also takes a float32 tensor, which is converted without loss. A float32 input
 * also takes a float64 tensor: each number is rounded to the nearest float32. A finite double whose
 * nearest float32 is an infinity is OUT_OF_RANGE, as in a record, unless the contract says that the
 * model accepts the infinity. NaN and infinities are accepted. Apart from these two conversions,
 * the tensor must have the type of the input.
 *
 * Errors: UNKNOWN_NAME (input is -1), DTYPE_MISMATCH, SHAPE_MISMATCH (does not fit the spec, or
 * data_bytes does not fit the shape), INVALID_ARGUMENT (offsets that decrease), INVALID_STRING,
 * OUT_OF_RANGE, BUSY, OUT_OF_MEMORY. After a failure the input is as it was before, except that
 * after invalid strings or offsets it must be given again. */
SIDECALL_API sidecall_status sidecall_call_copy_input(sidecall_call *call, int32_t input,
                                                      const sidecall_view *view,
                                                      sidecall_error *err);

/* Gives an input a whole tensor, with its shape, without copying it: from now on runs read the
 * caller's memory, until the input is given in another way, resized or reshaped. Until then that
 * memory must stay readable, and it must not change while a run is under way.
 *
 * Strings, and memory that is not aligned to its element type, are copied. No type is converted: a
 * type other than the input's own is DTYPE_MISMATCH. In all other respects this function behaves
 * like sidecall_call_copy_input and returns the same errors. */
SIDECALL_API sidecall_status sidecall_call_bind_input(sidecall_call *call, int32_t input,
                                                      const sidecall_view *view,
                                                      sidecall_error *err);

/* Makes the engine write an output into the caller's memory. This lasts until the output is bound
 * to NULL or the shape of any input changes; the memory must stay writable until then.
 *
 * data        aligned to the element type; NULL makes the call use memory of its own again
 * data_bytes  the exact size of the output in bytes; sidecall_call_output reports it (data_bytes of
 *             the view) before a run. Ignored if `data` is NULL.
 *
 * Errors: UNKNOWN_NAME (output is -1), DTYPE_MISMATCH (a string output), SHAPE_MISMATCH (another
 * number of bytes, or only a run can tell the shape), INVALID_ARGUMENT (not aligned), BUSY. */
SIDECALL_API sidecall_status sidecall_call_bind_output(sidecall_call *call, int32_t output,
                                                       void *data, uint64_t data_bytes,
                                                       sidecall_error *err);

/* Gives all strings of a string input, whose shape stays as it is. Copies them once.
 *
 * data        the strings back to back as UTF-8, without NULs; SIDECALL_MISSING_STRING for a
 *             missing value
 * offsets     num_strings + 1 positions in `data`, in bytes, as in sidecall_view
 * num_strings the number of elements of the input's present shape
 *
 * Errors: UNKNOWN_NAME (input is -1), DTYPE_MISMATCH (not a string input), SHAPE_MISMATCH (another
 * number of strings), INVALID_ARGUMENT (offsets that decrease), INVALID_STRING (not UTF-8, or a NUL
 * inside), BUSY. After invalid strings or offsets the input must be given again. */
SIDECALL_API sidecall_status sidecall_call_set_strings(sidecall_call *call, int32_t input,
                                                       const char *data, const int64_t *offsets,
                                                       int64_t num_strings, sidecall_error *err);

/* Makes the call forget which inputs and features were given: a run then fails with MISSING_INPUT
 * until every input is given again. For callers that get all inputs together and reuse the call.
 *
 * Errors: BUSY. */
SIDECALL_API sidecall_status sidecall_call_reset(sidecall_call *call, sidecall_error *err);

/* Gives one input a shape of its own, for inputs that vary in more than the number of rows. The
 * values of that input are lost. When the run starts, inputs that share the number of rows or a
 * named dimension must have the same size there.
 *
 * dims        `rank` sizes, which are copied
 *
 * Errors: UNKNOWN_NAME (input is -1), SHAPE_MISMATCH (does not fit the spec), OUT_OF_RANGE (more
 * bytes than can be addressed), BUSY, OUT_OF_MEMORY. */
SIDECALL_API sidecall_status sidecall_call_reshape(sidecall_call *call, int32_t input,
                                                   const int64_t *dims, int32_t rank,
                                                   sidecall_error *err);

/* ==== 5. Asynchronous runs =====================================================================
 *
 * A queue starts runs and collects their outcomes, for one model or for many, on every route. The
 * program submits calls and takes completions. Only sidecall_queue_take blocks, and only if its
 * wait_ns is not 0.
 *
 *   sidecall_queue *queue = NULL;
 *   sidecall_completion done[64];
 *   uint64_t run = 0;
 *   int64_t count = 0;
 *   sidecall_queue_open(NULL, &queue, &err);
 *   sidecall_call_open(model, 1, &call, &err);          // and set its inputs
 *   sidecall_queue_submit(queue, call, timeout_ns, 7, &run, &err);
 *   ...                                                 // submit other calls, do other work
 *   sidecall_queue_take(queue, 0, done, sizeof done[0], 64, -1, &count, &err);
 *   // done[0].tag is 7, done[0].call is the call, and done[0].status is the outcome of the run
 *
 * What the program can rely on:
 *
 * One outcome   If sidecall_queue_submit returns OK, exactly one completion with the outcome of the
 *               run follows, whatever happens, unless the call or the queue is closed before it is
 *               taken. If submit fails, none follows.
 * Owner         From submit until its completion is taken, a call belongs to the library: all
 *               functions that would use or change it return BUSY. sidecall_call_cancel and
 *               sidecall_call_close work. A call that is closed has no completion any more. The
 *               inputs stay whatever the outcome is.
 * Deadline      Counts from submit, and covers waiting for other runs and connecting. When it has
 *               passed, the outcome TIMEOUT is there at once, even if the engine still works.
 * SIDECALL_HELD A completion with this flag says that the engine of this process still uses the
 *               memory of the call: the run was cancelled, or its deadline passed. The call stays
 *               busy, and a second completion of the same run with the flag SIDECALL_RELEASED
 *               follows when the present node of the graph has ended. Free memory that is bound to
 *               the call only after a completion without SIDECALL_HELD. Remote models never set it.
 * Progress      A queue has no thread of its own. Runs that wait for their turn begin, connections
 *               are made and answers are read while a thread is in sidecall_queue_take. The handle
 *               of an armed queue wakes the program for all of this, and for deadlines.
 * Order         Completions have no promised order. Runs of one model begin in the order of submit,
 *               except that a thread of the library first checks and copies large inputs (more than
 *               8192 elements), which would delay the program; the models take turns.
 * Threads       Any thread may use a queue at any time. Several threads may take from one queue;
 *               each completion goes to one of them. Once a thread waits for its own run, those
 *               that take completions of any run leave this one to it.
 * Fork          In a forked child all functions of the queue return FORKED, except
 *               sidecall_queue_close and _cancel, which leave the parent's runs alone.
 *
 * An event loop watches the handle of the queue, level-triggered, and does this in each turn
 * (examples/c/event_loop.c is a complete program).
 *
 *   sidecall_queue_take(queue, 0, done, sizeof done[0], 64, 0, &count, &err);
 *   for (int64_t i = 0; i < count; ++i) handle_completion(&done[i]);  // may submit again
 *   if (sidecall_queue_arm(queue, &look_ns, &err) != SIDECALL_OK) ...
 *   // look_ns < 0: the loop may sleep until the handle is readable
 *   // otherwise: it does its other work without sleeping, and then comes back here
 */

typedef struct sidecall_queue sidecall_queue;

typedef struct sidecall_queue_options {
  uint32_t struct_size;
  /* How many runs may be submitted and not taken yet, HELD runs included: 1 to 1 048 576; 16384 by
   * default. */
  int32_t capacity;
  /* How many runs of each model may be under way at the same time: 1 to 1 048 576; 128 by default.
   * Further runs of this model wait in the queue. */
  int32_t max_started;
  int32_t reserved;
} sidecall_queue_options;

/* Sets struct_size and the defaults. NULL is allowed; cannot fail. */
#define sidecall_queue_options_init(options) \
  sidecall_queue_options_init_sized((options), sizeof(sidecall_queue_options))
SIDECALL_API void sidecall_queue_options_init_sized(sidecall_queue_options *options, size_t size);

#define SIDECALL_HELD 1                 /* the engine still uses the memory of the call */
#define SIDECALL_RELEASED 2             /* it no longer does; follows a completion with HELD */

/* What sidecall_queue_take returns for one run, for one model that was opened, or for one event of
 * a server (server_options.events). */
typedef struct sidecall_completion {
  uint64_t tag;            /* of sidecall_queue_submit */
  uint64_t run;            /* of sidecall_queue_submit; 0 for an event */
  sidecall_call *call;     /* of a run; otherwise NULL */
  sidecall_status status;  /* the outcome; sidecall_call_error has its text and its faults. With
                            * SIDECALL_RELEASED the same again */
  uint32_t flags;          /* SIDECALL_HELD or SIDECALL_RELEASED, or 0 */
  sidecall_model *model;   /* of sidecall_queue_open_model, if status is OK; otherwise NULL */
  sidecall_text *event;    /* of an event: a JSON object, which the caller closes; otherwise NULL */
} sidecall_completion;

/* Opens a queue. Starts no thread and makes no descriptor.
 *
 * options     NULL for the defaults
 *
 * Errors: only those of every function. */
SIDECALL_API sidecall_status sidecall_queue_open(const sidecall_queue_options *options,
                                                 sidecall_queue **out_queue, sidecall_error *err);

/* Starts a run of the call, or lets it wait for its turn. Never waits. Wrong values and missing
 * inputs are reported by the completion, as the outcome of the run, like every other failure.
 *
 * timeout_ns  as for sidecall_call_run; counts from here
 * tag         any number; the completion has it
 * out_run     a number of this run, for sidecall_queue_take and sidecall_queue_cancel; never that
 *             of another run of this queue. 0 on failure. May be NULL
 *
 * Errors: BUSY (`capacity` is reached, or the call is under way), INVALID_ARGUMENT, FORKED. */
SIDECALL_API sidecall_status sidecall_queue_submit(sidecall_queue *queue, sidecall_call *call,
                                                   int64_t timeout_ns, uint64_t tag,
                                                   uint64_t *out_run, sidecall_error *err);

/* Opens a model as sidecall_model_open does, on a separate thread of the library. Never waits. The
 * completion has the model, which the caller then closes.
 *
 * uri, options  as for sidecall_model_open; copied
 * timeout_ns    more than 0, or -1 for no deadline; counts from here. After it, or after
 *               sidecall_queue_cancel, the completion comes at once with TIMEOUT or CANCELLED; the
 *               thread ends later, and closes the model
 * tag           any number; the completion has it
 * model_error   NULL, or initialised, and valid until the completion is taken or the queue is
 *               closed. sidecall_queue_take fills it if opening failed
 * out_run       a number for sidecall_queue_take and sidecall_queue_cancel. 0 on failure. May be
 *               NULL
 *
 * Errors: INVALID_ARGUMENT, BUSY (`capacity` models were not taken yet), FORKED, OUT_OF_MEMORY. */
SIDECALL_API sidecall_status sidecall_queue_open_model(sidecall_queue *queue, const char *uri,
                                                       const sidecall_model_options *options,
                                                       int64_t timeout_ns, uint64_t tag,
                                                       sidecall_error *model_error,
                                                       uint64_t *out_run, sidecall_error *err);

/* The same for the `length` bytes of an ONNX file at `data`, as sidecall_model_open_bytes opens
 * them. The bytes are copied before this function returns. */
SIDECALL_API sidecall_status sidecall_queue_open_bytes(sidecall_queue *queue, const void *data,
                                                       size_t length,
                                                       const sidecall_model_options *options,
                                                       int64_t timeout_ns, uint64_t tag,
                                                       sidecall_error *model_error,
                                                       uint64_t *out_run, sidecall_error *err);

/* Takes completions that are there, or waits for the first.
 *
 * run          0 for completions of any run; else only those of this run. After a completion with
 *              SIDECALL_HELD, the one with SIDECALL_RELEASED is taken by the same number
 * completions  room for `capacity` structs of completion_size bytes, the size of the struct in the
 *              header that the caller was compiled with
 * wait_ns      how long to wait if there is none: 0 does not block; -1 waits until there is one,
 *              also if no run is under way yet
 * out_count    how many were taken; 0 if wait_ns has passed
 *
 * Errors: INVALID_ARGUMENT, NOT_RUN (the completion of `run` was taken before, its call was closed,
 * or there never was such a run), CANCELLED (another thread has closed the queue), FORKED. */
SIDECALL_API sidecall_status sidecall_queue_take(sidecall_queue *queue, uint64_t run,
                                                 sidecall_completion *completions,
                                                 size_t completion_size, int64_t capacity,
                                                 int64_t wait_ns, int64_t *out_count,
                                                 sidecall_error *err);

/* Asks whether an event loop may sleep. Never blocks.
 *
 * out_look_ns  -1: the queue is armed. Its handle becomes readable once there is something to take
 *              or to do, and stays readable until a thread calls sidecall_queue_take with the run
 *              0, which also ends the arming.
 *              0: there are completions to take.
 *              More than 0: do not sleep in the next turn, because a run in another process will
 *              probably end sooner than the system could wake this one; the queue stops saying so
 *              after that many nanoseconds
 *
 * The handle may also become readable although there is nothing to take, and every 10 ms while runs
 * over shared memory are under way. If many runs end while the queue is armed, it wakes the program
 * once.
 *
 * Errors: FORKED, OUT_OF_MEMORY (also: no descriptors are left). *out_look_ns is then 0. */
SIDECALL_API sidecall_status sidecall_queue_arm(sidecall_queue *queue, int64_t *out_look_ns,
                                                sidecall_error *err);

/* Returns a descriptor (on Linux an int) for poll, epoll or an event loop: register it once, for
 * reading. It belongs to the queue and stays the same until the queue is closed. Do not read or
 * close it.
 *
 * Errors: FORKED, OUT_OF_MEMORY (also: no descriptors are left). *out_handle is then -1. */
SIDECALL_API sidecall_status sidecall_queue_handle(sidecall_queue *queue, intptr_t *out_handle,
                                                   sidecall_error *err);

/* Asks a run to end with CANCELLED. Its completion follows as usual; the run may still end with
 * another outcome if it ends first. Does nothing if there is an outcome already, or there never was
 * such a run. Any thread; NULL is allowed; cannot fail. */
SIDECALL_API void sidecall_queue_cancel(sidecall_queue *queue, uint64_t run);

/* Cancels all runs, drops their outcomes, and releases the handle. Never waits for a run. Threads
 * that wait in sidecall_queue_take return CANCELLED; no thread may begin to use the queue now.
 * Calls stay open: they are free, or busy until the engine of this process no longer uses their
 * memory. NULL is allowed; cannot fail. */
SIDECALL_API void sidecall_queue_close(sidecall_queue *queue);

/* Reports the outcome of the last run that was submitted with this call, once its completion was
 * taken: returns its status, and fills `err` like sidecall_call_run if it is a failure. The outcome
 * stays until the next submit; this function also works while the call is HELD.
 *
 * Errors: NOT_RUN (no completion was taken; a run never ends with this status), and those of
 * sidecall_call_run. */
SIDECALL_API sidecall_status sidecall_call_error(sidecall_call *call, sidecall_error *err);

/* ---- Calls for a program with many runs ----
 *
 * A program that needs a call for each request takes it from its model and gives it back, instead
 * of opening and closing one each time. Any thread may do both. */

/* Returns a call that was given back, or opens one. No inputs, features, bound memory or results
 * of an earlier user are left in it. Like sidecall_call_open, it never waits for another process.
 *
 * rows        as for sidecall_call_open
 *
 * Errors: INVALID_ARGUMENT, OUT_OF_MEMORY, FORKED. */
SIDECALL_API sidecall_status sidecall_model_take_call(const sidecall_model *model, int64_t rows,
                                                      sidecall_call **out_call,
                                                      sidecall_error *err);

/* Gives back a call of sidecall_model_take_call, in any state: a run that is under way ends as with
 * sidecall_call_close, and its completion is dropped. The model keeps up to 128 calls with 32 MiB
 * of tensors, and closes the others. It also closes a call that uses memory of the caller, or that
 * has other shapes than at first. Never waits for another process. NULL is allowed for `call`;
 * cannot fail. After sidecall_model_close(model), use sidecall_call_close instead. */
SIDECALL_API void sidecall_model_give_call(const sidecall_model *model, sidecall_call *call);

/* Returns how many nanoseconds a run of the call will probably take, for its present number of
 * rows, if this process runs the model. A submit costs some 20 000 nanoseconds, so an event loop
 * may prefer sidecall_call_run for runs that take less. INT64_MAX if the time is not known yet, or
 * if another process runs the model. The library learns the time from the runs of all calls of
 * the model: from each run of a queue, and from every 64th of sidecall_call_run. Cannot fail. */
SIDECALL_API int64_t sidecall_call_expected_ns(const sidecall_call *call);

/* ==== 6. Remote models =========================================================================
 *
 * A model that a server runs is opened by another URI; everything else stays the same. What differs
 * for every remote model:
 *
 * - Opening and runs may fail with UNREACHABLE, DENIED, PROTOCOL, PEER_DIED and CONTRACT_CHANGED. A
 *   run that the server had not begun is sent to the restarted server; PEER_DIED means that the
 *   server may have begun it.
 * - The deadline of a run is exact, and -1 stands for 30 seconds (see sidecall_call_run).
 * - options.wait_ns says how long opening waits for a server that is starting.
 * - After fork() the child cannot use the model: FORKED.
 *
 * Over shared memory (shm: and exec:), a call keeps its connection, and its inputs lie in memory
 * that the server reads too. Large outputs may be read-only (SIDECALL_VIEW_READ_ONLY).
 * options.wait_ns also says how long a run waits for a server that is restarting.
 *
 * Over a network (http: and grpc:), a call owns the memory of its tensors. The memory of a run that
 * was given up is free at once, because the request was copied. Connections are kept, and all calls
 * share them. A run may fail with UNREACHABLE at any time, because each run needs a connection.
 * libsidecall-net.so is loaded when the first such model is opened.
 *
 * exec: URIs start the server as a child process, and need options.allow_exec:
 *
 *   sidecall_model_options options;
 *   sidecall_model_options_init(&options);
 *   options.allow_exec = 1;
 *   options.wait_ns = 5000000000;  // 5 seconds
 *   sidecall_model_open("exec:sidecall serve fraud.onnx", &options, &model, &err);
 *
 * No function belongs to this part. */

/* ==== 7. Errors ================================================================================
 *
 * Every function that can fail returns a status and takes a sidecall_error. It holds the reason as
 * one line of text and as fields for programs. For a run it can also list every fault of every
 * row. */

/* The tens digit of a status is its family: 10 usage, 20 files, 30 model, 40 data, 50 channel (the
 * connection to another process), 60 engine; 99 is a bug of sidecall. After a retryable status the
 * same function may succeed later.
 *
 * NOT_RUN           outputs were read before a run succeeded, or sidecall_queue_take was called for
 *                   a run that has no outcome any more
 * NO_CONTRACT       records need a contract; tensors work without one
 * UNSUPPORTED       the graph has sequences, maps or optionals, or the URI has a scheme of another
 *                   platform or version
 * CONTRACT_CHANGED  a restarted server has other inputs or outputs: open the model again
 * INVALID_JSON      not JSON, nested too deep, or a key that occurs twice; the message gives the
 *                   position in bytes
 * ENGINE            ONNX Runtime refused the model or failed during a run; the message quotes it */
#define SIDECALL_OK 0
#define SIDECALL_INVALID_ARGUMENT 10    /* NULL, a bad index or option, a wrong struct_size */
#define SIDECALL_BUSY 11                /* the call, run queue or server is busy; retryable */
#define SIDECALL_NOT_RUN 12             /* there is no result to read, or no outcome to take */
#define SIDECALL_CANCELLED 13           /* the run was cancelled, or the queue was closed */
#define SIDECALL_FILE_NOT_FOUND 20      /* no such file */
#define SIDECALL_FILE_UNREADABLE 21     /* a directory, no permission, an I/O error */
#define SIDECALL_FILE_INVALID 22        /* not an ONNX file, or truncated */
#define SIDECALL_FILE_TOO_LARGE 23      /* over 2 GiB of protobuf, or 1 TiB of external data */
#define SIDECALL_FILE_FORBIDDEN 24      /* external data outside the model's own folder */
#define SIDECALL_CONTRACT_INVALID 30    /* a contract that is not JSON or does not fit the graph */
#define SIDECALL_CONTRACT_FORMAT 31     /* a contract format that this version does not know */
#define SIDECALL_NO_CONTRACT 32         /* records need a contract; the file has none */
#define SIDECALL_UNSUPPORTED 33         /* a kind of tensor or URI that is not supported */
#define SIDECALL_VERIFICATION_FAILED 34 /* golden rows gave other answers than at export */
#define SIDECALL_CONTRACT_CHANGED 35    /* a restarted server has other inputs or outputs */
#define SIDECALL_DTYPE_MISMATCH 40      /* a value or tensor of another type */
#define SIDECALL_SHAPE_MISMATCH 41      /* another rank, dimension, number of rows or bytes */
#define SIDECALL_UNKNOWN_NAME 42        /* no input, output, feature or column has that name */
#define SIDECALL_MISSING_INPUT 43       /* an input was not given */
#define SIDECALL_MISSING_VALUE 44       /* absent, null or NaN in a feature that is not nullable */
#define SIDECALL_UNKNOWN_CATEGORY 45    /* a value that the fitted encoder refuses */
#define SIDECALL_INVALID_STRING 46      /* invalid UTF-8, a NUL inside, or empty but refused */
#define SIDECALL_INVALID_JSON 47        /* a text that is not acceptable JSON */
#define SIDECALL_OUT_OF_RANGE 48        /* a number that its type or the model does not take */
#define SIDECALL_REFUSED 49             /* the model refuses the row: see sidecall_call_run */
#define SIDECALL_PEER_DIED 50           /* the process at the other end is gone; retryable */
#define SIDECALL_TIMEOUT 51             /* the deadline passed; retryable */
#define SIDECALL_UNREACHABLE 52         /* no server is reachable at that URI; retryable */
#define SIDECALL_DENIED 53              /* the server does not admit this user */
#define SIDECALL_PROTOCOL 54            /* the peer broke the protocol or has another version */
#define SIDECALL_FORKED 55              /* a handle of the parent process, used in its child */
#define SIDECALL_ENGINE 60              /* ONNX Runtime refused the model or failed in a run */
#define SIDECALL_ENGINE_NOT_FOUND 61    /* no ONNX Runtime; the message lists where it looked */
#define SIDECALL_ENGINE_TOO_OLD 62      /* ONNX Runtime is older than this library needs */
#define SIDECALL_OUT_OF_MEMORY 63       /* no memory, descriptors or threads are left; retryable */
#define SIDECALL_INTERNAL 99            /* a bug of sidecall: please report it */

/* Returns the name of a status as a static string: "DTYPE_MISMATCH" for SIDECALL_DTYPE_MISMATCH,
 * "OK" for 0, "UNKNOWN" for other numbers. Cannot fail. Any thread. */
SIDECALL_API const char *sidecall_status_name(sidecall_status status);

#define SIDECALL_FAULT_FEATURE 0
#define SIDECALL_FAULT_INPUT 1
#define SIDECALL_FAULT_OUTPUT 2
#define SIDECALL_FAULT_COLUMN 3  /* of an output */
#define SIDECALL_FAULT_STEP 4    /* of the model */
#define SIDECALL_FAULT_RECORDS 5 /* the records as a whole, which have no name */

/* What is wrong with one value, or with one row that the model refuses. A run collects all faults
 * before it fails. Texts end with NUL; a text that does not fit is cut at a character boundary.
 * Texts of sidecall never contain a value of the data; messages of ONNX Runtime are passed on as
 * they are.
 *
 * This struct is an element of an array of the caller, so its size stays the same within a
 * SONAME. */
typedef struct sidecall_fault {
  int64_t row;        /* from 0; -1 if it concerns no particular row */
  int32_t status;
  int32_t kind;       /* SIDECALL_FAULT_*: what `name` names */
  char name[128];     /* the feature, input, output, output column or model step; "" for none */
  char expected[96];  /* the type, shape or other property that was expected; "" for none */
  char got[96];       /* what was found in its place; "" for none */
  char message[384];  /* "feature 'age': expected float32, got string"; does not name the row */
} sidecall_fault;

/* Why a function failed. Initialise the struct once, then reuse it for any number of functions.
 *
 * `message` is one line in lower case. It lists the first three faults, separated by "; ", and says
 * how many more there are. The row of a fault is named if the call has several rows. Faults are
 * sorted by row, and within a row by feature; unknown names come last.
 *
 * To get each fault, point `faults` to an array of your own and set faults_capacity. After a
 * failure the first min(num_faults, faults_capacity) elements are filled. Runs and
 * sidecall_predict_json may report many faults, other functions at most one; num_faults is 0 if no
 * value, name or row is to blame. The library keeps at most 1000 faults. num_faults also counts
 * those that were not kept, unless your array has room for more faults than were kept; in that case
 * num_faults is the number that was kept. Faults that were not kept make the run fail too. */
struct sidecall_error {
  uint32_t struct_size;
  int32_t status;             /* the status that was returned: that of the first fault, if any */
  int32_t retryable;          /* 1 if the same function may succeed later */
  uint32_t num_faults;        /* all faults that were found */
  int64_t row;                /* row, name, expected and got describe the first fault */
  char name[128];
  char expected[96];
  char got[96];
  char message[1024];         /* "feature 'age': expected float32, got string (row 3)" */
  sidecall_fault *faults;     /* the caller's array, or NULL */
  uint32_t faults_capacity;   /* number of elements of that array */
  uint32_t reserved;
};

#ifdef __cplusplus
#define SIDECALL_ERROR_INIT \
  { sizeof(sidecall_error), 0, 0, 0, -1, {0}, {0}, {0}, {0}, nullptr, 0, 0 }
#else
#define SIDECALL_ERROR_INIT \
  { sizeof(sidecall_error), 0, 0, 0, -1, {0}, {0}, {0}, {0}, NULL, 0, 0 }
#endif

/* Makes `err` empty and sets struct_size, like SIDECALL_ERROR_INIT. Also resets `faults`. NULL is
 * allowed; cannot fail. */
#define sidecall_error_init(err) sidecall_error_init_sized((err), sizeof(sidecall_error))
SIDECALL_API void sidecall_error_init_sized(sidecall_error *err, size_t size);

/* ==== 8. Versions and the engine ===============================================================
 *
 * For diagnosis, and for programs that must know which library and which ONNX Runtime were loaded.
 */

#define SIDECALL_VERSION_MAJOR 0
#define SIDECALL_VERSION_MINOR 1
#define SIDECALL_VERSION_PATCH 0

/* Grows with each release that changes this header; the first release has 1. A program that was
 * built against ABI n of a release runs on every library with the same SONAME and an ABI >= n. */
#define SIDECALL_ABI_VERSION 1

/* Returns the ABI of the library that was loaded, to compare with SIDECALL_ABI_VERSION. Cannot
 * fail. Any thread. */
SIDECALL_API uint32_t sidecall_abi_version(void);

/* Returns the version of the library that was loaded, "0.1.0": a static string. Cannot fail. Any
 * thread. */
SIDECALL_API const char *sidecall_version(void);

/* Finds and loads ONNX Runtime, as the first open of a local model would, and describes what was
 * found.
 *
 * options     its onnxruntime and onnxruntime_package are used; NULL for the defaults
 * out         a JSON object, which the caller closes:
 *
 *   {"engine": "onnxruntime", "version": "1.32.0", "api": 21, "path": "...",
 *    "found_by": "SIDECALL_ONNXRUNTIME", "oldest": "1.22", "telemetry": "off"}
 *
 * "oldest" is the oldest version of ONNX Runtime that the library accepts. "telemetry" is "off", or
 * "host" if the program has set ORT_DISABLE_TELEMETRY to something other than 1.
 *
 * The search, in this order. If 1 or 2 is set, only that place is searched:
 * 1. options->onnxruntime
 * 2. the environment variable SIDECALL_ONNXRUNTIME (ignored in a setuid program)
 * 3. a copy that is already loaded in the process
 * 4. beside libsidecall
 * 5. beside the package: options->onnxruntime_package, then Python's onnxruntime package
 * 6. the search path of the dynamic loader
 *
 * Errors: ENGINE_NOT_FOUND, ENGINE_TOO_OLD, ENGINE. */
SIDECALL_API sidecall_status sidecall_engine_describe(const sidecall_model_options *options,
                                                      sidecall_text **out, sidecall_error *err);

/* Finds and loads libsidecall-net.so, as the first open of a model on another host would, and
 * describes it. With a URI, also tries the way to each of its servers, step by step. Opens no
 * model.
 *
 * uri         "http:", "grpc:" and so on, as for sidecall_model_open; NULL asks no server
 * timeout_ns  how long all steps may take: more than 0, or -1 for as long as they need; each step
 *             of a server takes at most 10 s
 * out         a JSON object, which the caller closes:
 *
 *   {"version": "0.1.0", "path": "/usr/lib/libsidecall-net.so",
 *    "libraries": {"libcurl": "8.14.1", "nghttp2": "1.64.0", ...},
 *    "ca": "/etc/ssl/certs/ca-certificates.crt", "ca_readable": true,
 *    "steps": [{"server": "a:8000 (10.0.0.1)", "step": "tls", "code": 0, "status": "OK",
 *               "text": "..."}]}
 *
 * "ca" is the file with the authorities that are trusted if a URI names none. "steps" is there with
 * a URI: "name", "connection", "tls", "live", "ready" and "metadata". The first step that fails is
 * the last one of its server; its "code" and "status" are those of the error.
 *
 * Errors: UNSUPPORTED (no library, or one of another version), INVALID_ARGUMENT (also for a URI of
 * another route), FILE_NOT_FOUND (a file that the URI names), OUT_OF_MEMORY. */
SIDECALL_API sidecall_status sidecall_network_describe(const char *uri, int64_t timeout_ns,
                                                       sidecall_text **out, sidecall_error *err);

#ifdef __cplusplus
}
#endif
#endif
