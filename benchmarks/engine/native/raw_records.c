/* Records with strings on ONNX Runtime's C API: every tensor is made and bound once, and a call
 * only writes values into it and reads the answer out of it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../inproc/native/raw.h"
#include "engine.h"

/* What sidecall's files take as a missing string: U+FDD0. */
static const char missing_string[] = "\xEF\xB7\x90";

typedef struct raw_state {
  bench_state base;
  records all;
  const OrtApi* api;
  OrtSession* session;
  OrtMemoryInfo* memory;
  OrtIoBinding* binding;
  OrtRunOptions* options;
  OrtValue** inputs; /* one tensor per column of the record, [rows, 1] */
  double** numbers;  /* the memory of the tensors that hold numbers */
  OrtValue* label;
  int64_t* labels; /* the memory of `label`, unless it holds strings */
  OrtValue* answer;
  double* probabilities;
} raw_state;

static void make_numbers(raw_state* state, int32_t column) {
  const int64_t dims[2] = {state->all.workload->rows, 1};
  const size_t bytes = (size_t)dims[0] * sizeof(double);
  state->numbers[column] = bench_alloc(bytes);
  bench_raw_check(state->api->CreateTensorWithDataAsOrtValue(
      state->memory, state->numbers[column], bytes, dims, 2, ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE,
      &state->inputs[column]));
}

static OrtValue* make_strings(const raw_state* state, size_t rank) {
  const int64_t dims[2] = {state->all.workload->rows, 1};
  OrtAllocator* allocator = NULL;
  OrtValue* value = NULL;
  bench_raw_check(state->api->GetAllocatorWithDefaultOptions(&allocator));
  bench_raw_check(state->api->CreateTensorAsOrtValue(allocator, dims, rank,
                                                     ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING, &value));
  return value;
}

static void bind_outputs(raw_state* state) {
  const int64_t dims[2] = {state->all.workload->rows, state->all.workload->classes};
  const size_t label_bytes = (size_t)dims[0] * sizeof(int64_t);
  const size_t answer_bytes = (size_t)(dims[0] * dims[1]) * sizeof(double);
  if (state->all.num_labels > 0) {
    state->label = make_strings(state, 1);
  } else {
    state->labels = bench_alloc(label_bytes);
    bench_raw_check(state->api->CreateTensorWithDataAsOrtValue(
        state->memory, state->labels, label_bytes, dims, 1, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64,
        &state->label));
  }
  state->probabilities = bench_alloc(answer_bytes);
  bench_raw_check(state->api->CreateTensorWithDataAsOrtValue(
      state->memory, state->probabilities, answer_bytes, dims, 2,
      ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE, &state->answer));
  bench_raw_check(state->api->BindOutput(state->binding, "label", state->label));
  bench_raw_check(state->api->BindOutput(state->binding, "probabilities", state->answer));
}

static bench_state* open_with(const bench_workload* workload, int arena) {
  raw_state* state = bench_alloc(sizeof *state);
  char* path = bench_path(workload->folder, "model.onnx");
  state->api = bench_raw_api();
  state->session = bench_raw_session_one_thread(path, arena);
  free(path);
  records_open(&state->all, workload);
  const int32_t width = state->all.width;
  state->inputs = bench_alloc((size_t)width * sizeof(void*));
  state->numbers = bench_alloc((size_t)width * sizeof(void*));
  bench_raw_check(
      state->api->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &state->memory));
  bench_raw_check(state->api->CreateIoBinding(state->session, &state->binding));
  bench_raw_check(state->api->CreateRunOptions(&state->options));
  for (int32_t i = 0; i < width; ++i) {
    if (state->all.columns[i].is_string) state->inputs[i] = make_strings(state, 2);
    else make_numbers(state, i);
    bench_raw_check(
        state->api->BindInput(state->binding, state->all.columns[i].input, state->inputs[i]));
  }
  bind_outputs(state);
  state->base.slot_bytes = (size_t)workload->rows * records_answer_bytes(workload);
  return &state->base;
}

bench_state* raw_records_open(const bench_workload* workload) { return open_with(workload, 0); }
bench_state* raw_records_open_arena(const bench_workload* workload) {
  return open_with(workload, 1);
}

static void write_rows(const raw_state* state, int64_t first) {
  const records* all = &state->all;
  const double* value = all->workload->features + first * all->width;
  for (int64_t row = 0; row < all->workload->rows; ++row) {
    for (int32_t i = 0; i < all->width; ++i, ++value) {
      if (!all->columns[i].is_string) {
        state->numbers[i][row] = *value;
        continue;
      }
      const char* text = isnan(*value) ? missing_string : all->strings[(int64_t)*value];
      OrtStatus* status = state->api->FillStringTensorElement(state->inputs[i], text, (size_t)row);
      if (status != NULL) bench_raw_check(status);
    }
  }
}

static void read_label(const raw_state* state, int64_t row, records_answer* answer) {
  if (state->labels != NULL) {
    answer->label = state->labels[row];
    return;
  }
  size_t length = 0;
  bench_raw_check(state->api->GetStringTensorElementLength(state->label, (size_t)row, &length));
  if (length > sizeof answer->label_text) bench_fail("label: expected a short string");
  bench_raw_check(
      state->api->GetStringTensorElement(state->label, length, (size_t)row, answer->label_text));
  answer->label_length = length;
}

void raw_records_run(bench_state* base, int64_t row, void* slot) {
  raw_state* state = (raw_state*)base;
  const bench_workload* workload = state->all.workload;
  write_rows(state, row);
  OrtStatus* status = state->api->RunWithBinding(state->session, state->options, state->binding);
  if (status != NULL) bench_raw_check(status);
  char* at = slot;
  for (int64_t i = 0; i < workload->rows; ++i) {
    records_answer* answer = (void*)at;
    read_label(state, i, answer);
    memcpy(answer + 1, state->probabilities + i * workload->classes,
           (size_t)workload->classes * sizeof(double));
    at += records_answer_bytes(workload);
  }
}

void raw_records_decode(bench_state* base, const void* slot, double* answers) {
  records_decode(&((raw_state*)base)->all, slot, answers);
}

void raw_records_close(bench_state* base) {
  raw_state* state = (raw_state*)base;
  state->api->ReleaseIoBinding(state->binding);
  state->api->ReleaseRunOptions(state->options);
  for (int32_t i = 0; i < state->all.width; ++i) {
    state->api->ReleaseValue(state->inputs[i]);
    free(state->numbers[i]);
  }
  state->api->ReleaseValue(state->label);
  state->api->ReleaseValue(state->answer);
  state->api->ReleaseMemoryInfo(state->memory);
  state->api->ReleaseSession(state->session);
  records_close(&state->all);
  free(state->inputs);
  free(state->numbers);
  free(state->labels);
  free(state->probabilities);
  free(state);
}
