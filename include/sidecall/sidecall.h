/* sidecall.h: call machine-learning models that were trained in Python. This header is the manual of the C ABI.
 *
 * The smallest program:
 *
 *   sidecall_error err = SIDECALL_ERROR_INIT;
 *   sidecall_model *model; sidecall_call *call; double p;
 *   if (sidecall_model_open("fraud.onnx", NULL, &model, &err)) { fprintf(stderr, "%s\n", err.message); return 1; }
 *   int32_t amount = sidecall_model_feature(model, "amount");
 *   int32_t fraud = sidecall_model_column(model, "probabilities.fraud");
 *   sidecall_call_open(model, 1, &call, &err);               // a reusable workspace for one row
 *   sidecall_call_set_f64(call, 0, amount, 12.5, &err);
 *   sidecall_call_run(call, -1, &err);
 *   sidecall_call_get_f64(call, 0, fraud, &p, &err);
 *   sidecall_call_close(call);
 *   sidecall_model_close(model);
 *
 * Rules that hold everywhere, unless a function says otherwise:
 *
 * Status      A function that can fail returns sidecall_status: SIDECALL_OK (0) or one of the codes below. On failure
 *             every out parameter that is a handle or pointer is NULL, nothing needs cleaning up, and the handles passed in stay usable.
 * Error       `err` may be NULL. It belongs to the caller, is filled on failure only, and holds nothing that must be released.
 * Strings     UTF-8, without NUL. Those passed in are read during the call only. Those returned live as long as the
 *             handle that they were asked of and must not be released.
 * Threads     A `const sidecall_model *` may be used by any number of threads at once. A call belongs to one thread at a
 *             time; only sidecall_call_cancel may come from another. Use by two threads at once is answered with BUSY where seen.
 * Fork        After fork() the child may close or go on using models of the in-process route; an asynchronous run that
 *             was pending in the parent is not pending in the child. Models of other processes answer FORKED there, until opened again.
 * Lifetime    A model lives until it is closed and its last call is closed, in any order. Specs live as long as the model.
 *             Views live until the next run, start, resize, reshape or bind of their call, or its close.
 * Structs     A struct that the caller allocates starts with struct_size, the size that it has in the header
 *             that the caller was compiled with. Its init macro, as sidecall_error_init(&err), sets it and
 *             fills in the defaults. Structs grow at their end only, so a program that was built with an
 *             older or a newer header keeps working:
 *             - The library never reads or writes beyond struct_size. A field that does not fit whole has
 *               its default, or is not filled; a text that does not fit whole is cut and ends with NUL.
 *             - In a larger struct that the library reads, the bytes that it does not know must be 0, so
 *               that no request is ignored. In one that it fills it leaves those bytes alone.
 *             - A struct_size below 4 or above 4096 is refused with INVALID_ARGUMENT, and an error of such
 *               a size is not filled.
 *             Languages without macros call the function behind the macro, with the size of the struct as
 *             they declare it: sidecall_error_init_sized(err, size). Structs that the library allocates,
 *             as specs and texts, grow at their end too: use them by pointer and do not copy them.
 * Time        Nanoseconds in int64_t. -1 waits forever in process; a run in another process then has 30 seconds.
 * Routes      A path or file: URI runs in this process. shm: and exec: URIs run in another one of this host, over shared memory. Everything
 *             below holds on both, errors and their texts included; what differs says so. A server that restarts goes unnoticed by the
 *             next run: the call connects again, its inputs stay.
 * End         A program may end while runs are under way, pending or given up: by return from main, exit(), quick_exit(), a signal. The
 *             threads of the library work on until the process is gone, and nothing that they use is destroyed before. A child of an exec:
 *             URI ends with the program. But no other thread may be opening a model of the in-process route while exit() runs: ONNX
 *             Runtime destroys then what opening needs. The library stays loaded after dlclose(), because its threads run in it.
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

/* ---- Versions -------------------------------------------------------------------------------------------------- */

#define SIDECALL_VERSION_MAJOR 0
#define SIDECALL_VERSION_MINOR 1
#define SIDECALL_VERSION_PATCH 0

/* The number that grows when this header changes. A program built against ABI n runs on any library with ABI >= n and
 * the same SONAME. */
#define SIDECALL_ABI_VERSION 4

/* The ABI of the library that was loaded; compare with SIDECALL_ABI_VERSION. Cannot fail.   Since 0.1. */
SIDECALL_API uint32_t sidecall_abi_version(void);

/* The library's version, "0.1.0". Cannot fail.   Since 0.1. */
SIDECALL_API const char *sidecall_version(void);

/* ---- Status ---------------------------------------------------------------------------------------------------- */

typedef int32_t sidecall_status;

/* A status divided by ten, times ten, is its family: 10 usage, 20 files, 30 model, 40 data, 50 channel, 60 engine; 99 is our bug. */
#define SIDECALL_OK 0
#define SIDECALL_INVALID_ARGUMENT 10    /* NULL, an index or option out of range, a wrong struct_size */
#define SIDECALL_BUSY 11                /* the call is running, the queue of asynchronous runs is full, or the server is busy; retryable */
#define SIDECALL_NOT_RUN 12             /* outputs read before a run succeeded; finish without a run whose outcome is left */
#define SIDECALL_CANCELLED 13           /* sidecall_call_cancel ended the run */
#define SIDECALL_PENDING 14             /* sidecall_call_finish alone: the run that was started is not over yet; ask again */
#define SIDECALL_FILE_NOT_FOUND 20      /* no such file */
#define SIDECALL_FILE_UNREADABLE 21     /* a directory, no permission, an I/O error */
#define SIDECALL_FILE_INVALID 22        /* not an ONNX file, or truncated */
#define SIDECALL_FILE_TOO_LARGE 23      /* beyond 2 GiB of protobuf, or of address space */
#define SIDECALL_FILE_FORBIDDEN 24      /* external data outside the model's own folder */
#define SIDECALL_CONTRACT_INVALID 30    /* the contract in the file does not describe the graph, or is not valid JSON */
#define SIDECALL_CONTRACT_FORMAT 31     /* a contract of a format that this version does not know */
#define SIDECALL_NO_CONTRACT 32         /* records need a contract and the file carries none; tensors still work */
#define SIDECALL_UNSUPPORTED 33         /* sequences, maps and optionals in the graph; a URI scheme of another platform or version */
#define SIDECALL_VERIFICATION_FAILED 34 /* golden rows gave other answers than at export */
#define SIDECALL_CONTRACT_CHANGED 35    /* a server came back with another signature */
#define SIDECALL_DTYPE_MISMATCH 40      /* a value or tensor of another type */
#define SIDECALL_SHAPE_MISMATCH 41      /* rank, dimensions, number of rows or bytes */
#define SIDECALL_UNKNOWN_NAME 42        /* no input, output, feature or column of that name */
#define SIDECALL_MISSING_INPUT 43       /* an input was not given */
#define SIDECALL_MISSING_VALUE 44       /* a missing value (absent, null, NaN) in a feature that is not nullable */
#define SIDECALL_UNKNOWN_CATEGORY 45    /* a value that the fitted encoder refuses */
#define SIDECALL_INVALID_STRING 46      /* invalid UTF-8, a NUL inside a string, or an empty one that the model does not take */
#define SIDECALL_INVALID_JSON 47        /* not JSON, nested too deep, a key twice; the message gives the byte */
#define SIDECALL_OUT_OF_RANGE 48        /* a number that its type cannot hold, or that the model does not take */
#define SIDECALL_REFUSED 49             /* the model refuses the row: a step computes a number that it or the next one does not take */
#define SIDECALL_PEER_DIED 50           /* the process at the other end is gone; retryable */
#define SIDECALL_TIMEOUT 51             /* the deadline passed; retryable */
#define SIDECALL_UNREACHABLE 52         /* no server is reachable at that URI; retryable */
#define SIDECALL_DENIED 53              /* the server does not admit this user */
#define SIDECALL_PROTOCOL 54            /* the peer broke the protocol, or speaks no common version */
#define SIDECALL_FORKED 55              /* a handle of the parent process, used in its child */
#define SIDECALL_ENGINE 60              /* ONNX Runtime refused the model or failed during the run; its words are in the message */
#define SIDECALL_ENGINE_NOT_FOUND 61    /* no ONNX Runtime library; the message lists the places that were tried */
#define SIDECALL_ENGINE_TOO_OLD 62      /* the ONNX Runtime found is older than this library needs */
#define SIDECALL_OUT_OF_MEMORY 63       /* no memory, or no file descriptor is left; retryable */
#define SIDECALL_INTERNAL 99            /* a bug of sidecall: please report it */

/* "DTYPE_MISMATCH" for SIDECALL_DTYPE_MISMATCH; "OK" for 0; "UNKNOWN" for other numbers.   Since 0.1. */
SIDECALL_API const char *sidecall_status_name(sidecall_status status);

/* ---- Errors ---------------------------------------------------------------------------------------------------- */

/* One fault of one value, or of one row that the model refuses. A run finds all faults before it gives up. Texts are cut to their space at a
 * character boundary and end with NUL. None of ours ever holds a value of the data; what ONNX Runtime says of its own is passed on.
 * This struct is an element of the caller's array, so it keeps its size within a SONAME. */
typedef struct sidecall_fault {
  int64_t row;        /* from 0; -1 when no row is concerned */
  int32_t status;
  int32_t reserved;
  char name[128];     /* the feature, input, output or its column, or step of the model; "" when none is concerned */
  char expected[96];  /* a type, shape, or what else was wanted */
  char got[96];
  char message[384];  /* "feature 'age': expected float32, got string", without the row */
} sidecall_fault;

typedef struct sidecall_error {
  uint32_t struct_size;
  int32_t status;
  int32_t retryable;          /* 1 when the same call may succeed later */
  uint32_t num_faults;        /* how many were found, also when `faults` had no room for them; those kept, the first 1000 at most, where it had room for more */
  int64_t row;                /* row, name, expected and got are those of the first fault */
  char name[128];
  char expected[96];
  char got[96];
  char message[1024];         /* one line, lower case: "feature 'age': expected float32, got string (row 3)" */
  sidecall_fault *faults;     /* the caller's array for all faults of a run, or NULL */
  uint32_t faults_capacity;   /* how many fit there */
  uint32_t reserved;
} sidecall_error;

#ifdef __cplusplus
#define SIDECALL_ERROR_INIT { sizeof(sidecall_error), 0, 0, 0, -1, {0}, {0}, {0}, {0}, nullptr, 0, 0 }
#else
#define SIDECALL_ERROR_INIT { sizeof(sidecall_error), 0, 0, 0, -1, {0}, {0}, {0}, {0}, NULL, 0, 0 }
#endif

/* Makes `err` empty and sets struct_size, as SIDECALL_ERROR_INIT does. NULL is fine.   Since 0.1. */
#define sidecall_error_init(err) sidecall_error_init_sized((err), sizeof(sidecall_error))
SIDECALL_API void sidecall_error_init_sized(sidecall_error *err, size_t size);

/* ---- Element types --------------------------------------------------------------------------------------------- */

/* The numbers are those of ONNX (TensorProto.DataType). */
#define SIDECALL_FLOAT32 1
#define SIDECALL_UINT8 2
#define SIDECALL_INT8 3
#define SIDECALL_UINT16 4
#define SIDECALL_INT16 5
#define SIDECALL_INT32 6
#define SIDECALL_INT64 7
#define SIDECALL_STRING 8
#define SIDECALL_BOOL 9                 /* one byte, 0 or 1 */
#define SIDECALL_FLOAT16 10             /* IEEE half, as raw 16 bits */
#define SIDECALL_FLOAT64 11
#define SIDECALL_UINT32 12
#define SIDECALL_UINT64 13
#define SIDECALL_BFLOAT16 16            /* raw 16 bits */
#define SIDECALL_FLOAT8E4M3FN 17        /* 8-bit floats: one raw byte each */
#define SIDECALL_FLOAT8E4M3FNUZ 18
#define SIDECALL_FLOAT8E5M2 19
#define SIDECALL_FLOAT8E5M2FNUZ 20
#define SIDECALL_UINT4 21               /* 4-bit types: two elements in a raw byte, the first in the low half */
#define SIDECALL_INT4 22

/* "float32", "string", ...: the one spelling of a type in every language and message. "unknown" for other numbers.   Since 0.1. */
SIDECALL_API const char *sidecall_dtype_name(int32_t dtype);

/* Bits of one element: 32 for float32, 8 for bool, 4 for int4, 0 for string and for other numbers.   Since 0.1. */
SIDECALL_API int32_t sidecall_dtype_bits(int32_t dtype);

/* ---- Models ---------------------------------------------------------------------------------------------------- */

typedef struct sidecall_model sidecall_model;
typedef struct sidecall_call sidecall_call;

#define SIDECALL_VERIFY_ERROR 0         /* golden rows that disagree fail the open; the default */
#define SIDECALL_VERIFY_WARN 1          /* they are reported by sidecall_model_warning */
#define SIDECALL_VERIFY_OFF 2           /* they do not run */

#define SIDECALL_EXTRA_ERROR 0          /* a record with a feature that the model does not know fails; the default */
#define SIDECALL_EXTRA_IGNORE 1         /* such features are skipped */

typedef struct sidecall_model_options {
  uint32_t struct_size;
  int32_t verify;             /* SIDECALL_VERIFY_*. SIDECALL_VERIFY=error|warn|off in the environment wins. */
  int32_t extra;              /* SIDECALL_EXTRA_*: how records treat unknown features */
  int32_t allow_exec;         /* 1 lets a URI start with exec:; leave 0 where URIs may come from outside */
  int64_t timeout_ns;         /* the deadline of sidecall_predict_json; -1, the default, waits forever in process, 30 s for another */
  int64_t wait_ns;            /* how long to wait for a server that is still starting: at open, and in every call when it restarts, within the
                                 deadline of the call; 0 does not wait, -1 waits forever */
  const char *onnxruntime;    /* path of the ONNX Runtime library; NULL searches (see sidecall_engine_describe) */
  const char *onnxruntime_package; /* for bindings: where their package manager put one, tried in its place of the search; or NULL */
} sidecall_model_options;

/* Fills `options` with the defaults and sets struct_size. NULL is fine.   Since 0.1. */
#define sidecall_model_options_init(options) sidecall_model_options_init_sized((options), sizeof(sidecall_model_options))
SIDECALL_API void sidecall_model_options_init_sized(sidecall_model_options *options, size_t size);

/* Opens the model that `uri` names: a path ("fraud.onnx"), or file:///m/fraud.onnx (percent-encoded); shm:NAME, shm:/run/app/fraud.sock or
 * shm:///run/app/fraud.sock for what a server of this host serves (server.h); exec:COMMAND ARGUMENTS for a program that is started as the server and
 * ends with the model: words in the shell's quoting, nothing is expanded, and no shell runs.
 *
 * Of another process: asks the server for signature and contract, which verified the golden rows when it started; where it did not, they run
 * here. All of that ends within 30 seconds, or with TIMEOUT. Needs no ONNX Runtime and loads none.
 *
 * Of a file: loads ONNX Runtime if no model was opened before, reads the contract, and runs the golden
 * rows once per process and file content. Costs milliseconds; open once and keep. The file and its
 * external data are read once, into private memory, and never again. N bytes of model take up to 3 N
 * while opening and 2 N afterwards, N bytes of external data up to 4 N while opening
 * (docs/contract.md has the figures).
 *
 * Where official builds of ONNX Runtime would send telemetry and no environment of it exists yet, the first open sets
 * ORT_DISABLE_TELEMETRY=1 if unset; set it yourself before you start threads that read the environment.
 *
 * options     NULL for the defaults
 *
 * Fails with INVALID_ARGUMENT (also exec: without allow_exec), FILE_*, CONTRACT_INVALID, CONTRACT_FORMAT, UNSUPPORTED, VERIFICATION_FAILED, ENGINE,
 * ENGINE_NOT_FOUND, ENGINE_TOO_OLD, OUT_OF_MEMORY; of another process UNREACHABLE, TIMEOUT, DENIED, PROTOCOL, BUSY.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_model_open(const char *uri, const sidecall_model_options *options,
                                                 sidecall_model **out_model, sidecall_error *err);

/* The same from the file's bytes, which are copied. Such a model cannot have external data.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_model_open_bytes(const void *data, size_t length, const sidecall_model_options *options,
                                                       sidecall_model **out_model, sidecall_error *err);

/* Gives the handle back. Calls of the model that are still open stay usable. NULL is fine; cannot fail.   Since 0.1. */
SIDECALL_API void sidecall_model_close(sidecall_model *model);

/* The contract as JSON, exactly as stored in the file (docs/contract.md); NULL for a file without one. `out_length`
 * may be NULL.   Since 0.1. */
SIDECALL_API const char *sidecall_model_contract(const sidecall_model *model, size_t *out_length);

/* The model's name and version from the contract, "" without one.   Since 0.1. */
SIDECALL_API const char *sidecall_model_name(const sidecall_model *model);
SIDECALL_API const char *sidecall_model_version(const sidecall_model *model);

/* SHA-256 in lower-case hexadecimal of the graph as stored and of its external files: the identity of the numbers. With
 * a contract it is the id written there (sidecall_model_verify recomputes it); without one it is computed on first use. Of another process it is
 * what runs there now: a server that restarts may bring another model of the same signature. "" for a function without an id.   Since 0.1. */
SIDECALL_API const char *sidecall_model_id(const sidecall_model *model);

/* Why verification did not hold, under SIDECALL_VERIFY_WARN; otherwise NULL.   Since 0.1. */
SIDECALL_API const char *sidecall_model_warning(const sidecall_model *model);

typedef struct sidecall_text {
  const char *data;           /* UTF-8, followed by a NUL */
  size_t length;              /* without it */
} sidecall_text;

/* Releases a text that the library returned through an out parameter. NULL is fine; cannot fail.   Since 0.1. */
SIDECALL_API void sidecall_text_close(sidecall_text *text);

/* Runs the golden rows now, whatever `verify` says, and recomputes the id (of another process: asks for it). `out` is a JSON report:
 *   {"id": {"stored": "...", "computed": "..."}, "rows": 12, "outputs": [{"name": "probabilities", "largest": 1.2e-7, "absolute": 1e-6, "relative": 1e-5, "holds": true}, ...],
 *    "source": "synthetic", "engine": "onnxruntime 1.32.0"}
 * Rows is 0 where the export left them out. The report is given with VERIFICATION_FAILED too, and then "failure" holds the reason.
 * Fails with NO_CONTRACT, VERIFICATION_FAILED (also when the ids differ), ENGINE, and as sidecall_call_run.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_model_verify(const sidecall_model *model, sidecall_text **out, sidecall_error *err);

/* The model's types as source in another language: complete, and the same each time for the same model. What the Node.js package's open<Fraud>()
 * takes comes from here: an interface whose `features` are exactly the model's and whose `answer` has the labels as a union.
 *
 * language    "typescript"; there is no other yet
 * name        of the interface, an identifier; NULL makes one from the model's name, or else from the file's
 *
 * Without a contract only tensors are typed. Fails with INVALID_ARGUMENT (another language, a name that the language does not
 * leave free), OUT_OF_MEMORY.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_model_types(const sidecall_model *model, const char *language, const char *name,
                                                  sidecall_text **out, sidecall_error *err);

/* ---- What a model takes and gives ------------------------------------------------------------------------------ */

/* A tensor of the graph. */
typedef struct sidecall_tensor_spec {
  const char *name;
  const int64_t *dims;        /* rank of them; -1 where the dimension is free */
  const char *const *dim_names; /* rank of them; "" where the graph names none */
  int32_t dtype;
  int32_t rank;               /* 0 for a scalar, and for an output to which the graph gives no shape: only a run can tell */
  int32_t has_rows;           /* 1 when the first dimension is free: it is the number of rows */
  int32_t reserved;
} sidecall_tensor_spec;

/* A feature of the contract: what one key of a record means. */
typedef struct sidecall_feature_spec {
  const char *name;           /* as the user wrote it */
  int32_t dtype;              /* FLOAT32, FLOAT64, INT64, BOOL or STRING: what records may hold */
  int32_t nullable;           /* 1 when the model accepts a missing value */
  int32_t input;              /* the tensor that it lands in */
  int32_t column;             /* and the column there */
} sidecall_feature_spec;

#define SIDECALL_FORM_SCALAR 0          /* {"label": value} */
#define SIDECALL_FORM_MEMBER 1          /* {"probabilities": {key: value, ...}} */
#define SIDECALL_FORM_ELEMENT 2         /* {"prediction": [value, ...]} */

/* One flat column of the outputs: "label", "probabilities.fraud", "prediction". The columns of one output stand together, in order. */
typedef struct sidecall_column_spec {
  const char *name;
  const char *key;            /* the class in "probabilities.fraud", the number in "prediction.0"; "" for a scalar */
  int32_t dtype;              /* FLOAT32, FLOAT64, INT64, BOOL, STRING, ...: what sidecall_call_get_* reads */
  int32_t output;             /* the tensor that it is read from; its name is the key in the record */
  int32_t column;             /* and the column there */
  int32_t form;               /* SIDECALL_FORM_*: where the value stands in a record */
} sidecall_column_spec;

/* Counts and specs. A spec is NULL when the index is out of range. Files without a contract have no features, and one
 * column for each output of rank 1, or of rank 2 with a fixed width of at most 2^20.   Since 0.1. */
SIDECALL_API int32_t sidecall_model_num_inputs(const sidecall_model *model);
SIDECALL_API int32_t sidecall_model_num_outputs(const sidecall_model *model);
SIDECALL_API int32_t sidecall_model_num_features(const sidecall_model *model);
SIDECALL_API int32_t sidecall_model_num_columns(const sidecall_model *model);
SIDECALL_API const sidecall_tensor_spec *sidecall_model_input_spec(const sidecall_model *model, int32_t input);
SIDECALL_API const sidecall_tensor_spec *sidecall_model_output_spec(const sidecall_model *model, int32_t output);
SIDECALL_API const sidecall_feature_spec *sidecall_model_feature_spec(const sidecall_model *model, int32_t feature);
SIDECALL_API const sidecall_column_spec *sidecall_model_column_spec(const sidecall_model *model, int32_t column);

/* The index of a name, or -1. Look it up once, not per call. A -1 passed on is answered with UNKNOWN_NAME; sidecall_model_find
 * says which name was unknown.   Since 0.1. */
SIDECALL_API int32_t sidecall_model_input(const sidecall_model *model, const char *name);
SIDECALL_API int32_t sidecall_model_output(const sidecall_model *model, const char *name);
SIDECALL_API int32_t sidecall_model_feature(const sidecall_model *model, const char *name);
SIDECALL_API int32_t sidecall_model_column(const sidecall_model *model, const char *name);

#define SIDECALL_KIND_INPUT 0
#define SIDECALL_KIND_OUTPUT 1
#define SIDECALL_KIND_FEATURE 2
#define SIDECALL_KIND_COLUMN 3

/* The same with an error that names what was asked for and what there is: "unknown input 'y': the model has 'x'". `out_index`
 * is -1 on failure. Fails with UNKNOWN_NAME, INVALID_ARGUMENT.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_model_find(const sidecall_model *model, int32_t kind, const char *name, size_t length,
                                                 int32_t *out_index, sidecall_error *err);

/* ---- Records as JSON ------------------------------------------------------------------------------------------- */

/* Predicts for one record, `{"amount": 12.5, "country": "DE"}`, or for a list of them; `out` is a record or a list:
 * `{"label":"no","probabilities":{"no":0.9,"yes":0.1}}`, classes in the contract's order.
 *
 * The order of keys never matters. An absent key and null are missing; NaN is no JSON. An answer that is NaN or infinite is null.
 * Integers are accepted for floats and whole floats for integers; nothing else is coerced. Any number of threads may
 * call this at once; each finds or makes a call of its own. Takes about one and a half times the bare call.
 *
 * Fails with NO_CONTRACT, INVALID_JSON, UNKNOWN_NAME, DTYPE_MISMATCH, MISSING_VALUE, UNKNOWN_CATEGORY, INVALID_STRING,
 * OUT_OF_RANGE, REFUSED, SHAPE_MISMATCH (an empty list), TIMEOUT, ENGINE. All faults are found before it fails.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_predict_json(const sidecall_model *model, const char *json, size_t length,
                                                   sidecall_text **out, sidecall_error *err);

/* ---- Calls ----------------------------------------------------------------------------------------------------- */

/* Opens a reusable workspace: buffers that the engine itself reads and writes, bound once.
 *
 * rows        1 or more: the first dimension of every input where that is free
 *
 * Other free dimensions start at 1 and are set by sidecall_call_reshape. Every input must be given before the first run:
 * through its view, by copy, by binding, or feature by feature; features start as missing.
 * Of another process a call has a connection of its own, and inputs lie in memory that both share. It is kept for the next call. Whatever changes shapes
 * may have to ask for a larger one, and then fails as sidecall_call_run too.
 * Fails with INVALID_ARGUMENT, OUT_OF_MEMORY; of another process as sidecall_call_run.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_call_open(const sidecall_model *model, int64_t rows, sidecall_call **out_call, sidecall_error *err);

/* As sidecall_call_open, for event loops: of another process the call connects when it runs or starts, not before, and its inputs lie in memory of
 * this one, copied at each run, so that only runs wait for the other process. In process there is no difference.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_call_open_lazy(const sidecall_model *model, int64_t rows, sidecall_call **out_call, sidecall_error *err);

/* Cancels a run that is under way and releases the call. Never waits for another process. Where the engine of this process still works on
 * the run, the library keeps the call's memory until that is over, and this returns at once. Only where the call reads or writes memory of
 * the caller (sidecall_call_bind_input, sidecall_call_bind_output) does it wait, because that memory may be released next.
 * NULL is fine; cannot fail.   Since 0.1. */
SIDECALL_API void sidecall_call_close(sidecall_call *call);

/* Changes the number of rows. Values of inputs are lost and must be given again; features are missing again. Does nothing when the
 * call has that many rows. Fails with INVALID_ARGUMENT, BUSY, OUT_OF_MEMORY.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_call_resize(sidecall_call *call, int64_t rows, sidecall_error *err);

/* The number of rows; 0 for NULL. Where inputs are given as whole tensors it follows from them at the next run.   Since 0.1. */
SIDECALL_API int64_t sidecall_call_rows(const sidecall_call *call);

/* Gives one input its own shape, for inputs that vary beyond rows. Values of that input are lost. Inputs that share a number of rows, or
 * a named dimension, must agree when the run starts.
 * Fails with UNKNOWN_NAME (input is -1), SHAPE_MISMATCH (against the spec), OUT_OF_RANGE (bytes overflow), BUSY, OUT_OF_MEMORY.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_call_reshape(sidecall_call *call, int32_t input, const int64_t *dims, int32_t rank, sidecall_error *err);

/* A tensor in memory, C order. For strings `data` holds all UTF-8 bytes back to back and `offsets` has one entry more
 * than there are elements: element k is data[offsets[k]] to data[offsets[k + 1]]. */
typedef struct sidecall_view {
  uint32_t struct_size;
  int32_t dtype;
  int32_t rank;
  uint32_t flags;             /* SIDECALL_VIEW_*, as the library filled it; ignored in what a caller passes */
  const int64_t *dims;
  void *data;
  uint64_t data_bytes;
  const int64_t *offsets;     /* strings only, else NULL */
} sidecall_view;

#define SIDECALL_VIEW_READ_ONLY 1       /* an output that lies in another process's memory: a store there is a fault */

#ifdef __cplusplus
#define SIDECALL_VIEW_INIT { sizeof(sidecall_view), 0, 0, 0, nullptr, nullptr, 0, nullptr }
#else
#define SIDECALL_VIEW_INIT { sizeof(sidecall_view), 0, 0, 0, NULL, NULL, 0, NULL }
#endif

/* Makes `view` empty and sets struct_size, as SIDECALL_VIEW_INIT does. NULL is fine.   Since 0.1. */
#define sidecall_view_init(view) sidecall_view_init_sized((view), sizeof(sidecall_view))
SIDECALL_API void sidecall_view_init_sized(sidecall_view *view, size_t size);

/* The memory of input `input`, to be written: the engine reads it in place; the input counts as given. For a string input `data` and
 * `offsets` are NULL: use sidecall_call_set_strings. The memory stays where it is until that input is given in another way, reshaped or resized.
 * Fails with UNKNOWN_NAME, INVALID_ARGUMENT, BUSY.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_call_input(sidecall_call *call, int32_t input, sidecall_view *out_view, sidecall_error *err);

/* The memory of output `output`. Before a run the shape is there and `data` is NULL when the shape follows from the inputs;
 * rank is -1 when only a run can tell. Contents are valid after a run that succeeded, until the next one. Where the shape follows from
 * the inputs, the memory stays where it is until a shape changes or the output is bound, or a run fails. Large outputs of another process lie
 * in its memory, which stays readable whatever becomes of it, and may not be written: SIDECALL_VIEW_READ_ONLY.
 * Fails with UNKNOWN_NAME, INVALID_ARGUMENT, SHAPE_MISMATCH (inputs disagree), BUSY.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_call_output(sidecall_call *call, int32_t output, sidecall_view *out_view, sidecall_error *err);

/* Gives an input a whole tensor, shape included, by copying it. For tensors of a few KiB the fastest way.
 * A float32 tensor for a float64 input, and the other way round, is converted: float32 means itself, a double becomes the nearest float32. A finite
 * one whose nearest float32 is an infinity is OUT_OF_RANGE, as in a record, unless the contract says that the model takes the infinity; NaN and infinities
 * pass. Every other type must be the input's own.
 * Fails with UNKNOWN_NAME, DTYPE_MISMATCH, SHAPE_MISMATCH (against the spec, or data_bytes is not what the shape takes), INVALID_STRING, OUT_OF_RANGE, BUSY, OUT_OF_MEMORY.
 * The input is then as it was before, except after INVALID_STRING.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_call_copy_input(sidecall_call *call, int32_t input, const sidecall_view *view, sidecall_error *err);

/* Gives an input a whole tensor, shape included, without a copy: the engine reads the caller's memory, from now on, until the input is given in another
 * way, resized or reshaped. The memory must stay readable, and unchanged while a run is under way. Strings and memory that is not aligned to its element
 * are copied. The type must be the input's own: nothing is converted. Fails as sidecall_call_copy_input.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_call_bind_input(sidecall_call *call, int32_t input, const sidecall_view *view, sidecall_error *err);

/* For bindings: words the DTYPE_MISMATCH of a tensor whose type has no number here; `got` is its name in the caller's language. Always fails.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_call_refuse_input(sidecall_call *call, int32_t input, const char *got, sidecall_error *err);

/* Lets the engine write into the caller's memory, from now on, until bound to NULL or the shape of an input changes. `data_bytes` must be
 * what the output takes. Fails with UNKNOWN_NAME, DTYPE_MISMATCH (a string output), SHAPE_MISMATCH (also where only a run can
 * tell the shape), INVALID_ARGUMENT (misaligned), BUSY.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_call_bind_output(sidecall_call *call, int32_t output, void *data, uint64_t data_bytes, sidecall_error *err);

/* Fills a string input of the call's present shape: `offsets` has one entry more than the tensor has elements, counted in bytes of `data`. One copy.
 * Fails with UNKNOWN_NAME, DTYPE_MISMATCH (not a string input), SHAPE_MISMATCH (num_strings is not the tensor's size),
 * INVALID_ARGUMENT (offsets that fall), INVALID_STRING (what is not UTF-8, or holds a NUL), BUSY.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_call_set_strings(sidecall_call *call, int32_t input, const char *data, const int64_t *offsets, int64_t num_strings, sidecall_error *err);

/* Makes every input one that was not given: a run then fails with MISSING_INPUT until each is given again. For callers
 * that get all inputs at once and keep the call.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_call_reset(sidecall_call *call, sidecall_error *err);

/* ---- One value at a time, by feature and column ----------------------------------------------------------------- */

/* Sets one feature of one row. Values stay for the next run. Once a feature has been set this way, a run first looks
 * whether every feature that is not nullable has been set in every row, so that none is forgotten in silence. A value that was
 * refused is remembered too, until the feature is set again or sidecall_call_clear: the run fails and reports all such faults, so that
 * a program may look at the status of the run alone.
 *
 * set_f64     for float32 and float64; for int64 if the value is whole. NaN is missing.
 * set_i64     for int64; for float32 and float64. Beyond what the type can hold, or the model takes: OUT_OF_RANGE.
 * set_bool    for bool only; 0 or 1
 * set_str     for string only
 * set_missing for any feature that is nullable
 * set_invalid remembers a value that the caller's language cannot turn into any of these; `got` names its type. With
 *             feature -1 the row itself is no record: that fails at once.
 * set_unknown remembers a name that the model does not have; does nothing under SIDECALL_EXTRA_IGNORE
 *
 * Fail with UNKNOWN_NAME (feature is -1), INVALID_ARGUMENT (row), DTYPE_MISMATCH, MISSING_VALUE, UNKNOWN_CATEGORY, INVALID_STRING,
 * OUT_OF_RANGE, NO_CONTRACT, BUSY.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_call_set_f64(sidecall_call *call, int64_t row, int32_t feature, double value, sidecall_error *err);
SIDECALL_API sidecall_status sidecall_call_set_i64(sidecall_call *call, int64_t row, int32_t feature, int64_t value, sidecall_error *err);
SIDECALL_API sidecall_status sidecall_call_set_bool(sidecall_call *call, int64_t row, int32_t feature, int32_t value, sidecall_error *err);
SIDECALL_API sidecall_status sidecall_call_set_str(sidecall_call *call, int64_t row, int32_t feature, const char *value, size_t length, sidecall_error *err);
SIDECALL_API sidecall_status sidecall_call_set_missing(sidecall_call *call, int64_t row, int32_t feature, sidecall_error *err);
SIDECALL_API sidecall_status sidecall_call_set_invalid(sidecall_call *call, int64_t row, int32_t feature, const char *got, sidecall_error *err);
SIDECALL_API sidecall_status sidecall_call_set_unknown(sidecall_call *call, int64_t row, const char *name, size_t length, sidecall_error *err);

/* Makes every feature of every row missing again and forgets faults: the start of the next record. Fails with NO_CONTRACT, BUSY.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_call_clear(sidecall_call *call, sidecall_error *err);

/* Reads one column of one row after a run.
 *
 * get_f64     any numeric column, bool as 0 or 1; an int64 beyond 2^53 is OUT_OF_RANGE
 * get_i64     integer columns, and bool as 0 or 1
 * get_str     string columns; the text is not NUL-terminated and lives as long as a view
 *
 * Fail with UNKNOWN_NAME (column is -1), INVALID_ARGUMENT (row), DTYPE_MISMATCH, NOT_RUN, OUT_OF_RANGE, BUSY.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_call_get_f64(sidecall_call *call, int64_t row, int32_t column, double *out_value, sidecall_error *err);
SIDECALL_API sidecall_status sidecall_call_get_i64(sidecall_call *call, int64_t row, int32_t column, int64_t *out_value, sidecall_error *err);
SIDECALL_API sidecall_status sidecall_call_get_str(sidecall_call *call, int64_t row, int32_t column, const char **out_value, size_t *out_length, sidecall_error *err);

/* ---- Running --------------------------------------------------------------------------------------------------- */

/* Runs the call once: reads its inputs, fills its outputs. Missing values in features that are not nullable, numbers that the model
 * does not take and values outside a closed list are looked for first, also in tensors that were written through views.
 * Every fault of the set functions is reported here again, all together.
 *
 * Rows are judged alone. A run over many rows that fails for what is in them reports every bad row: all faults of features first; where
 * there are none, one REFUSED for each row for which a step of the model computes a number that it or the next one does not take, or
 * whose answer is not finite although the model's never is. `name` is then the step, or the column of the output. The first 1000 are kept.
 *
 * timeout_ns  -1 waits forever and costs nothing. In process a deadline is honoured between graph nodes; a run that
 *             completes late succeeds. In another process -1 is 30 seconds and a deadline is exact, whatever the other end does: the next
 *             run first waits, within its own deadline, until that has let go of the call's memory.
 *
 * Fails with INVALID_ARGUMENT (timeout_ns is 0 or below -1), MISSING_INPUT, SHAPE_MISMATCH (inputs disagree), MISSING_VALUE, OUT_OF_RANGE, UNKNOWN_CATEGORY,
 * REFUSED, TIMEOUT, CANCELLED, ENGINE, OUT_OF_MEMORY, BUSY; in another process PEER_DIED (it died while it ran; where it had not begun the run goes to its successor), UNREACHABLE, CONTRACT_CHANGED (open
 * the model again), DENIED, PROTOCOL, FORKED. Outputs are invalid after a failure. Does not allocate, once output shapes are known.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_call_run(sidecall_call *call, int64_t timeout_ns, sidecall_error *err);

/* Starts a run. The run is under way until sidecall_call_finish has taken its outcome; until then the call is busy and its memory
 * belongs to the engine. In process this returns at once, and a bounded pool of threads works on all started calls. A run in another
 * process needs no thread here, but the start waits, within the run's own deadline, where it has to connect first, or where the other
 * process still holds the memory of an earlier run of this call.
 * Fails as sidecall_call_run for what can be seen beforehand, and with BUSY when the queue of the pool is full.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_call_start(sidecall_call *call, int64_t timeout_ns, sidecall_error *err);

/* As sidecall_call_start, for a thread that must not wait, such as that of an event loop: never blocks. Where the start would have to
 * wait for another process, nothing happens and *out_started is 0: call sidecall_call_start from another thread then. Otherwise it is 1.
 * Fails as sidecall_call_start, with BUSY also while the engine of this process has not let go of an earlier run.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_call_try_start(sidecall_call *call, int64_t timeout_ns, int32_t *out_started, sidecall_error *err);

/* Waits up to `wait_ns` (0 only looks and never blocks; -1 waits for ever) for the run that was started, and takes its outcome, once.
 * Answers PENDING when the run is not over yet: ask again. Every other status but NOT_RUN is the outcome; BUSY, for example, is then
 * what the model or its server answered.
 *
 * A run whose deadline has passed, or that was cancelled, has its outcome, TIMEOUT or CANCELLED, at once. The engine may use the memory
 * of the call for some time after that; sidecall_call_is_busy says whether it still does. When the outcome has been taken, finish waits
 * up to `wait_ns` until the engine of this process has let go, and answers NOT_RUN; it never waits for another process to let go.
 * sidecall_call_run, sidecall_call_start and sidecall_call_resize may be called meanwhile and wait for that moment, in process, and
 * sidecall_call_close may be called at any time; everything else answers BUSY until then.
 * Fails with NOT_RUN (there is no outcome to take), INVALID_ARGUMENT (wait_ns), and as sidecall_call_run.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_call_finish(sidecall_call *call, int64_t wait_ns, sidecall_error *err);

/* 1 while a run is under way, and while the engine, or the process at the other end, still uses the memory of a started run that was given
 * up; most functions of the call answer BUSY then. 0 otherwise, and for NULL. Never blocks. For the thread that owns the call.   Since 0.1. */
SIDECALL_API int32_t sidecall_call_is_busy(const sidecall_call *call);

/* A descriptor for poll, epoll or an event loop. It becomes readable when sidecall_call_finish has the outcome of a started run, and once
 * more when the memory of a run that was given up is free. sidecall_call_finish makes it unreadable. Where another process runs the model
 * it also becomes readable every 10 ms of a run, and sometimes without a run: call sidecall_call_finish all the same, which answers
 * PENDING or NOT_RUN. The descriptor belongs to the call: do not read or close it. It stays the same until the call is closed, also when
 * the call connects to another server, and may stay registered between runs. Made on first use.
 * Fails with BUSY (ask before the first start), OUT_OF_MEMORY, UNREACHABLE, FORKED.
 *
 * The pattern for an event loop with one thread (examples/c/event_loop.c is a whole program):
 *
 *   sidecall_call_open_lazy(model, 1, &call, &err);
 *   sidecall_call_fd(call, &fd, &err);                       // once; register it for reading, level-triggered
 *
 *   // To start a run: set the inputs, then
 *   status = sidecall_call_try_start(call, timeout_ns, &started, &err);
 *   if (status == SIDECALL_OK && !started) ...               // stop watching the descriptor; a thread calls
 *                                                            // sidecall_call_start and tells the loop what it
 *                                                            // answered; then watch the descriptor again
 *
 *   // When the descriptor is readable:
 *   status = sidecall_call_finish(call, 0, &err);
 *   if (status == SIDECALL_PENDING) return;                  // readable without an outcome: go on polling
 *   if (status != SIDECALL_NOT_RUN) report(status);          // the outcome; TIMEOUT and CANCELLED may come early
 *   if (!sidecall_call_is_busy(call)) ...                    // the call may be used again; else the descriptor tells when
 * Since 0.1. */
SIDECALL_API sidecall_status sidecall_call_fd(sidecall_call *call, int32_t *out_fd, sidecall_error *err);

/* Asks a run under way, from any thread, to end with CANCELLED. Without one it does nothing. Must not race with close.   Since 0.1. */
SIDECALL_API void sidecall_call_cancel(sidecall_call *call);

/* ---- The engine ------------------------------------------------------------------------------------------------ */

/* Finds ONNX Runtime and loads it, as the first open would, and tells what was found as JSON:
 *   {"engine": "onnxruntime", "version": "1.32.0", "api": 21, "path": "...", "found_by": "SIDECALL_ONNXRUNTIME", "telemetry": "off"}   (telemetry: "off", or "host" where ORT_DISABLE_TELEMETRY says otherwise)
 * The order: option, SIDECALL_ONNXRUNTIME (not in a setuid program), a copy already resident in the process, beside libsidecall, beside the package, the loader's path.
 * `options` may be NULL. Fails with ENGINE_NOT_FOUND, ENGINE_TOO_OLD.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_engine_describe(const sidecall_model_options *options, sidecall_text **out, sidecall_error *err);

#ifdef __cplusplus
}
#endif
#endif
