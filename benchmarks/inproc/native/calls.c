/* sidecall from C: a kept call that uses views, a call that is filled feature by feature, and
 * records as JSON. */
#include <sidecall/sidecall.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

typedef struct call_state {
  bench_state base;
  const bench_workload* workload;
  sidecall_model* model;
  sidecall_call* call;
  sidecall_error err;

  /* Views of a kept call. */
  sidecall_view input;
  sidecall_view label;
  sidecall_view answer;

  /* Columns for the setters. */
  int32_t label_column;
  int32_t first_class;

  /* The request as it arrived. */
  char* request;
  size_t request_length;
} call_state;

static void check(const call_state* state, sidecall_status status) {
  if (status != SIDECALL_OK) bench_fail("sidecall: %s", state->err.message);
}

static call_state* open_model(const bench_workload* workload) {
  call_state* state = bench_alloc(sizeof *state);
  char* path = bench_path(workload->folder, "model.onnx");
  state->workload = workload;
  sidecall_error_init(&state->err);
  check(state, sidecall_model_open(path, NULL, &state->model, &state->err));
  free(path);
  return state;
}

static void close_model(bench_state* base) {
  call_state* state = (call_state*)base;
  sidecall_call_close(state->call);
  sidecall_model_close(state->model);
  free(state->request);
  free(state);
}

/* A kept call: write the row where the engine reads it, run, read where the engine wrote. */

static bench_state* open_call(const bench_workload* workload) {
  static const sidecall_view unknown = SIDECALL_VIEW_INIT;
  call_state* state = open_model(workload);
  state->input = state->label = state->answer = unknown;
  check(state, sidecall_call_open(state->model, workload->rows, &state->call, &state->err));
  check(state, sidecall_call_input(state->call, sidecall_model_input(state->model, "X"),
                                   &state->input, &state->err));
  memcpy(state->input.data, workload->features, state->input.data_bytes);
  check(state, sidecall_call_run(state->call, -1, &state->err));
  check(state, sidecall_call_output(state->call, sidecall_model_output(state->model, "label"),
                                    &state->label, &state->err));
  check(state,
        sidecall_call_output(state->call, sidecall_model_output(state->model, "probabilities"),
                             &state->answer, &state->err));
  state->base.slot_bytes = state->label.data_bytes + state->answer.data_bytes;
  return &state->base;
}

static void run_call(bench_state* base, int64_t row, void* slot) {
  call_state* state = (call_state*)base;
  memcpy(state->input.data, state->workload->features + row * state->workload->width,
         state->input.data_bytes);
  check(state, sidecall_call_run(state->call, -1, &state->err));
  memcpy(slot, state->label.data, state->label.data_bytes);
  memcpy((char*)slot + state->label.data_bytes, state->answer.data, state->answer.data_bytes);
}

static void decode_call(bench_state* base, const void* slot, double* answers) {
  const call_state* state = (const call_state*)base;
  const int64_t classes = state->workload->classes;
  const int64_t* labels = slot;
  const void* answer = (const char*)slot + state->label.data_bytes;
  const int is_double = state->answer.dtype == SIDECALL_DTYPE_FLOAT64;
  for (int64_t row = 0; row < state->workload->rows; ++row) {
    *answers++ = (double)labels[row];
    for (int64_t i = row * classes; i < (row + 1) * classes; ++i)
      *answers++ = is_double ? ((const double*)answer)[i] : (double)((const float*)answer)[i];
  }
}

/* Feature by feature. */

static bench_state* open_setters(const bench_workload* workload) {
  call_state* state = open_model(workload);
  check(state, sidecall_call_open(state->model, workload->rows, &state->call, &state->err));
  state->label_column = sidecall_model_column(state->model, "label");
  state->first_class = sidecall_model_column(state->model, "probabilities.0");
  state->base.slot_bytes = (size_t)(workload->rows * (1 + workload->classes)) * sizeof(double);
  return &state->base;
}

static void run_setters(bench_state* base, int64_t first, void* slot) {
  call_state* state = (call_state*)base;
  const bench_workload* workload = state->workload;
  const int32_t width = (int32_t)workload->width;
  const double* value = workload->features + first * workload->width;
  for (int64_t row = 0; row < workload->rows; ++row) {
    for (int32_t i = 0; i < width; ++i)
      check(state, sidecall_call_set_f64(state->call, row, i, *value++, &state->err));
  }
  check(state, sidecall_call_run(state->call, -1, &state->err));
  double* answer = slot;
  for (int64_t row = 0; row < workload->rows; ++row) {
    check(state,
          sidecall_call_get_f64(state->call, row, state->label_column, answer++, &state->err));
    for (int32_t i = 0; i < (int32_t)workload->classes; ++i) {
      check(state,
            sidecall_call_get_f64(state->call, row, state->first_class + i, answer++, &state->err));
    }
  }
}

static void decode_setters(bench_state* base, const void* slot, double* answers) {
  memcpy(answers, slot, base->slot_bytes);
}

/* Records as JSON. */

static bench_state* open_json(const bench_workload* workload) {
  call_state* state = open_model(workload);
  size_t longest = 0;
  if (workload->num_records < BENCH_RING + workload->rows)
    bench_fail("records.jsonl: expected %ld lines", BENCH_RING + workload->rows);
  for (int64_t i = 0; i < BENCH_RING + workload->rows; ++i)
    longest = workload->record_lengths[i] > longest ? workload->record_lengths[i] : longest;
  state->request = bench_alloc((size_t)workload->rows * (longest + 1) + 2);
  state->base.slot_bytes = (size_t)workload->rows * (size_t)(64 + 48 * workload->classes);
  return &state->base;
}

static void receive_request(bench_state* base, int64_t first) {
  call_state* state = (call_state*)base;
  const bench_workload* workload = state->workload;
  char* at = state->request;
  if (workload->rows > 1) *at++ = '[';
  for (int64_t row = first; row < first + workload->rows; ++row) {
    if (row > first) *at++ = ',';
    memcpy(at, workload->records[row], workload->record_lengths[row]);
    at += workload->record_lengths[row];
  }
  if (workload->rows > 1) *at++ = ']';
  state->request_length = (size_t)(at - state->request);
}

static void run_json(bench_state* base, int64_t row, void* slot) {
  (void)row;
  call_state* state = (call_state*)base;
  sidecall_text* text = NULL;
  check(state, sidecall_predict_json(state->model, state->request, state->request_length, &text,
                                     &state->err));
  if (text->length >= state->base.slot_bytes)
    bench_fail("predict_json: expected an answer below %zu bytes", state->base.slot_bytes);
  memcpy(slot, text->data, text->length + 1);
  sidecall_text_close(text);
}

/* Reads every number that follows a colon, in order, from
 * {"label":0,"probabilities":{"0":0.9,"1":0.1}}. */
static void decode_json(bench_state* base, const void* slot, double* answers) {
  const call_state* state = (const call_state*)base;
  const char* at = slot;
  for (int64_t row = 0; row < state->workload->rows; ++row) {
    for (int64_t i = 0; i <= state->workload->classes; ++i) {
      const char* colon = strchr(at, ':');
      if (colon != NULL && colon[1] == '{') colon = strchr(colon + 1, ':');
      if (colon == NULL) bench_fail("predict_json: expected %ld records", state->workload->rows);
      char* end = NULL;
      *answers++ = strtod(colon + 1, &end);
      if (end == colon + 1) bench_fail("predict_json: expected a number behind each colon");
      at = end;
    }
  }
}

const bench_approach bench_calls[] = {
    {"call", open_call, NULL, run_call, decode_call, close_model},
    {"setters", open_setters, NULL, run_setters, decode_setters, close_model},
    {"json", open_json, receive_request, run_json, decode_json, close_model},
    {NULL, NULL, NULL, NULL, NULL, NULL},
};
