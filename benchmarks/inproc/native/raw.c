/* The main baseline: ONNX Runtime's C API as a careful C programmer would use it, with one thread.
 * It uses either a kept I/O binding, or Run with fresh inputs and outputs. */
#define ORT_API_MANUAL_INIT
#include <dlfcn.h>
#include <onnxruntime_c_api.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "raw.h"

static const OrtApi* api;
static OrtEnv* env;

static void check(OrtStatus* status) {
  if (status != NULL) bench_fail("onnxruntime: %s", api->GetErrorMessage(status));
}

static void load_onnxruntime(void) {
  if (api != NULL) return;
  const char* path = getenv("SIDECALL_ONNXRUNTIME");
  void* library = path == NULL ? NULL : dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) bench_fail("SIDECALL_ONNXRUNTIME: expected the path of a library");
  const OrtApiBase* (*get_base)(void) = NULL;
  *(void**)&get_base = dlsym(library, "OrtGetApiBase");
  api = get_base == NULL ? NULL : get_base()->GetApi(21);
  if (api == NULL) bench_fail("onnxruntime: expected API 21");
  setenv("ORT_DISABLE_TELEMETRY", "1", 1);
  check(api->CreateEnv(ORT_LOGGING_LEVEL_FATAL, "bench", &env));
}

static OrtSession* open_session(const char* path, int one_thread, int arena) {
  load_onnxruntime();
  OrtSessionOptions* options = NULL;
  OrtSession* session = NULL;
  check(api->CreateSessionOptions(&options));
  if (one_thread) {
    check(api->SetIntraOpNumThreads(options, 1));
    check(api->SetInterOpNumThreads(options, 1));
  }
  if (!arena) check(api->DisableCpuMemArena(options));
  check(api->CreateSession(env, path, options, &session));
  api->ReleaseSessionOptions(options);
  return session;
}

void* bench_raw_session_open(const char* path, int tuned) {
  return open_session(path, tuned, !tuned);
}
void bench_raw_session_close(void* session) { api->ReleaseSession(session); }

const OrtApi* bench_raw_api(void) {
  load_onnxruntime();
  return api;
}
void bench_raw_check(OrtStatus* status) { check(status); }
OrtSession* bench_raw_session_one_thread(const char* path, int arena) {
  return open_session(path, 1, arena);
}

typedef struct raw_state {
  bench_state base;
  const bench_workload* workload;
  OrtSession* session;
  OrtMemoryInfo* memory;
  int64_t row_bytes;    /* size of the inputs of one call */
  int64_t label_bytes;  /* size of the labels of one call */
  int64_t answer_bytes; /* size of the probabilities of one call */
  ONNXTensorElementDataType answer_type;

  /* The kept binding and its memory. */
  OrtIoBinding* binding;
  OrtRunOptions* options;
  OrtValue* values[3];
  void* input;
  void* label;
  void* answer;
} raw_state;

static ONNXTensorElementDataType type_of_output(OrtSession* session, size_t index) {
  OrtTypeInfo* type = NULL;
  const OrtTensorTypeAndShapeInfo* tensor = NULL;
  ONNXTensorElementDataType element = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  check(api->SessionGetOutputTypeInfo(session, index, &type));
  check(api->CastTypeInfoToTensorInfo(type, &tensor));
  check(api->GetTensorElementType(tensor, &element));
  api->ReleaseTypeInfo(type);
  return element;
}

static OrtValue* wrap(const raw_state* state, void* data, int64_t bytes, int64_t columns,
                      ONNXTensorElementDataType type) {
  const int64_t dims[2] = {state->workload->rows, columns};
  OrtValue* value = NULL;
  check(api->CreateTensorWithDataAsOrtValue(state->memory, data, (size_t)bytes, dims,
                                            columns == 0 ? 1 : 2, type, &value));
  return value;
}

static raw_state* open_raw(const bench_workload* workload, int arena) {
  raw_state* state = bench_alloc(sizeof *state);
  char* path = bench_path(workload->folder, "model.onnx");
  state->workload = workload;
  state->session = open_session(path, 1, arena);
  free(path);
  check(api->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &state->memory));
  state->answer_type = type_of_output(state->session, 1);
  const int64_t element = state->answer_type == ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE ? 8 : 4;
  state->row_bytes = workload->rows * workload->width * (int64_t)sizeof(double);
  state->label_bytes = workload->rows * (int64_t)sizeof(int64_t);
  state->answer_bytes = workload->rows * workload->classes * element;
  state->base.slot_bytes = (size_t)(state->label_bytes + state->answer_bytes);
  return state;
}

static bench_state* open_run(const bench_workload* workload) {
  return &open_raw(workload, 0)->base;
}
static bench_state* open_run_arena(const bench_workload* workload) {
  return &open_raw(workload, 1)->base;
}

static bench_state* bind(raw_state* state) {
  const bench_workload* workload = state->workload;
  check(api->CreateIoBinding(state->session, &state->binding));
  check(api->CreateRunOptions(&state->options));
  state->input = bench_alloc((size_t)state->row_bytes);
  state->label = bench_alloc((size_t)state->label_bytes);
  state->answer = bench_alloc((size_t)state->answer_bytes);
  state->values[0] = wrap(state, state->input, state->row_bytes, workload->width,
                          ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE);
  state->values[1] =
      wrap(state, state->label, state->label_bytes, 0, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64);
  state->values[2] =
      wrap(state, state->answer, state->answer_bytes, workload->classes, state->answer_type);
  check(api->BindInput(state->binding, "X", state->values[0]));
  check(api->BindOutput(state->binding, "label", state->values[1]));
  check(api->BindOutput(state->binding, "probabilities", state->values[2]));
  return &state->base;
}

static bench_state* open_kept(const bench_workload* workload) {
  return bind(open_raw(workload, 0));
}
static bench_state* open_kept_arena(const bench_workload* workload) {
  return bind(open_raw(workload, 1));
}

static void run_kept(bench_state* base, int64_t row, void* slot) {
  raw_state* state = (raw_state*)base;
  memcpy(state->input, state->workload->features + row * state->workload->width,
         (size_t)state->row_bytes);
  OrtStatus* status = api->RunWithBinding(state->session, state->options, state->binding);
  if (status != NULL) check(status);
  memcpy(slot, state->label, (size_t)state->label_bytes);
  memcpy((char*)slot + state->label_bytes, state->answer, (size_t)state->answer_bytes);
}

static void run_fresh(bench_state* base, int64_t row, void* slot) {
  static const char* const inputs[] = {"X"};
  static const char* const outputs[] = {"label", "probabilities"};
  raw_state* state = (raw_state*)base;
  const int64_t width = state->workload->width;
  double* features = (double*)(uintptr_t)state->workload->features + row * width;
  OrtValue* input =
      wrap(state, features, state->row_bytes, width, ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE);
  OrtValue* values[2] = {NULL, NULL};
  const OrtValue* const given[] = {input};
  check(api->Run(state->session, NULL, inputs, given, 1, outputs, 2, values));
  void *label = NULL, *answer = NULL;
  check(api->GetTensorMutableData(values[0], &label));
  check(api->GetTensorMutableData(values[1], &answer));
  memcpy(slot, label, (size_t)state->label_bytes);
  memcpy((char*)slot + state->label_bytes, answer, (size_t)state->answer_bytes);
  api->ReleaseValue(input);
  api->ReleaseValue(values[0]);
  api->ReleaseValue(values[1]);
}

static void decode(bench_state* base, const void* slot, double* answers) {
  const raw_state* state = (const raw_state*)base;
  const int64_t classes = state->workload->classes;
  const int64_t* labels = slot;
  const void* answer = (const char*)slot + state->label_bytes;
  const int is_double = state->answer_type == ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE;
  for (int64_t row = 0; row < state->workload->rows; ++row) {
    *answers++ = (double)labels[row];
    for (int64_t i = row * classes; i < (row + 1) * classes; ++i)
      *answers++ = is_double ? ((const double*)answer)[i] : (double)((const float*)answer)[i];
  }
}

static void close_raw(bench_state* base) {
  raw_state* state = (raw_state*)base;
  if (state->binding != NULL) {
    api->ReleaseIoBinding(state->binding);
    api->ReleaseRunOptions(state->options);
    for (int i = 0; i < 3; ++i) api->ReleaseValue(state->values[i]);
  }
  free(state->input);
  free(state->label);
  free(state->answer);
  api->ReleaseMemoryInfo(state->memory);
  api->ReleaseSession(state->session);
  free(state);
}

const bench_approach bench_raw[] = {
    {"raw_run", open_run, NULL, run_fresh, decode, close_raw},
    {"raw_run_arena", open_run_arena, NULL, run_fresh, decode, close_raw},
    {"raw_kept", open_kept, NULL, run_kept, decode, close_raw},
    {"raw_kept_arena", open_kept_arena, NULL, run_kept, decode, close_raw},
    {NULL, NULL, NULL, NULL, NULL, NULL},
};
