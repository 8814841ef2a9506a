/* One call over one URI, as declared in client.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "peer.h"

static sidecall_error err = SIDECALL_ERROR_INIT;

static void check(sidecall_status status) {
  if (status != SIDECALL_OK) peer_fail("sidecall: %s", err.message);
}

void bench_rows_load(bench_rows* rows, const char* folder) {
  char path[2200];
  int64_t available = 0, classes = 0;
  snprintf(path, sizeof path, "%s/shape.txt", folder);
  FILE* file = fopen(path, "r");
  if (file == NULL || fscanf(file, "%ld %ld %ld", &available, &rows->width, &classes) != 3 ||
      available < BENCH_RING)
    peer_fail("shape.txt: expected three numbers and %d rows", BENCH_RING);
  fclose(file);
  const size_t count = (size_t)(BENCH_RING * rows->width);
  rows->features = peer_alloc(count * sizeof(double));
  snprintf(path, sizeof path, "%s/features.f64", folder);
  file = fopen(path, "rb");
  if (file == NULL || fread(rows->features, sizeof(double), count, file) != count)
    peer_fail("features.f64: expected %d rows", BENCH_RING);
  fclose(file);
}

static bench_kind kind_of(const char* name) {
  static const char* const names[] = {"echo", "scalar", "copy", "gbm"};
  for (int i = 0; i < 4; ++i) {
    if (strcmp(names[i], name) == 0) return (bench_kind)i;
  }
  peer_fail("unknown kind '%s'", name);
}

void bench_call_open(bench_call* call, const char* name, const char* kind, const char* uri,
                     int64_t elements) {
  static const sidecall_view unknown = SIDECALL_VIEW_INIT;
  memset(call, 0, sizeof *call);
  snprintf(call->name, sizeof call->name, "%s", name);
  call->kind = kind_of(kind);
  call->elements = elements;
  check(sidecall_model_open(uri, NULL, &call->model, &err));
  const int is_payload = call->kind == BENCH_SCALAR || call->kind == BENCH_COPY;
  check(sidecall_call_open(call->model, is_payload ? elements : 1, &call->call, &err));
  call->input = call->outputs[0] = call->outputs[1] = unknown;
  check(sidecall_call_input(call->call, 0, &call->input, &err));
  if (call->kind == BENCH_COPY) {
    call->payload = peer_alloc(call->input.data_bytes);
    call->received = peer_alloc(call->input.data_bytes);
  }
  call->num_outputs = sidecall_model_num_outputs(call->model);
  memset(call->input.data, 0, call->input.data_bytes);
  check(sidecall_call_run(call->call, -1, &err));
  for (int32_t i = 0; i < call->num_outputs; ++i)
    check(sidecall_call_output(call->call, i, &call->outputs[i], &err));
}

void bench_call_close(bench_call* call) {
  sidecall_call_close(call->call);
  sidecall_model_close(call->model);
  free(call->payload);
  free(call->received);
}

int64_t bench_call_answers(const bench_call* call) { return call->kind == BENCH_GBM ? 3 : 0; }

static int64_t run_echo(bench_call* call, int64_t number) {
  float row[PEER_ROW], answer[PEER_ANSWER];
  for (int k = 0; k < PEER_ROW; ++k) row[k] = (float)((number + k) % 1000);
  const int64_t start = peer_now_ns();
  memcpy(call->input.data, row, sizeof row);
  check(sidecall_call_run(call->call, -1, &err));
  memcpy(answer, call->outputs[0].data, sizeof answer);
  const int64_t time = peer_now_ns() - start;
  if (answer[0] != row[0] || answer[1] != row[PEER_ROW - 2] || answer[2] != row[PEER_ROW - 1])
    peer_fail("echo: a wrong answer");
  return time;
}

static int64_t run_scalar(bench_call* call, int64_t number) {
  const float value = (float)(number % 1000);
  const int64_t start = peer_now_ns();
  *(float*)call->input.data = value;
  check(sidecall_call_run(call->call, -1, &err));
  const float answer = *(const float*)call->outputs[0].data;
  const int64_t time = peer_now_ns() - start;
  if (answer != value) peer_fail("scalar: a wrong answer");
  return time;
}

static int64_t run_copy(bench_call* call, int64_t number) {
  const size_t last = (size_t)call->elements - 1;
  call->payload[0] = (float)(number % 1000);
  call->payload[last] = (float)(number % 999);
  const int64_t start = peer_now_ns();
  memcpy(call->input.data, call->payload, call->input.data_bytes);
  check(sidecall_call_run(call->call, -1, &err));
  /* The shape is known, but a result may be in a separate shared-memory file, so ask for its
   * address after each run. */
  check(sidecall_call_output(call->call, 0, &call->outputs[0], &err));
  memcpy(call->received, call->outputs[0].data, call->input.data_bytes);
  const int64_t time = peer_now_ns() - start;
  if (call->received[0] != call->payload[0] || call->received[last] != call->payload[last])
    peer_fail("copy: a wrong answer");
  return time;
}

static double read_number(const sidecall_view* view, int64_t i) {
  switch (view->dtype) {
    case SIDECALL_DTYPE_FLOAT32:
      return ((const float*)view->data)[i];
    case SIDECALL_DTYPE_FLOAT64:
      return ((const double*)view->data)[i];
    case SIDECALL_DTYPE_INT64:
      return (double)((const int64_t*)view->data)[i];
    default:
      peer_fail("gbm: expected numbers");
  }
}

static void write_row(const bench_call* call, const bench_rows* rows, int64_t number) {
  const double* row = rows->features + number % BENCH_RING * rows->width;
  memcpy(call->input.data, row, (size_t)rows->width * sizeof *row);
}

static int64_t run_gbm(bench_call* call, const bench_rows* rows, int64_t number, double* answers) {
  const int64_t start = peer_now_ns();
  write_row(call, rows, number);
  check(sidecall_call_run(call->call, -1, &err));
  answers[0] = read_number(&call->outputs[0], 0);
  answers[1] = read_number(&call->outputs[1], 0);
  answers[2] = read_number(&call->outputs[1], 1);
  return peer_now_ns() - start;
}

int64_t bench_call_run(bench_call* call, const bench_rows* rows, int64_t number, double* answers) {
  switch (call->kind) {
    case BENCH_ECHO:
      return run_echo(call, number);
    case BENCH_SCALAR:
      return run_scalar(call, number);
    case BENCH_COPY:
      return run_copy(call, number);
    default:
      return run_gbm(call, rows, number, answers);
  }
}
