/* Records with strings: the folder of such a workload, and sidecall's way to answer records: a
 * setter for each value, a run, a getter for each label and number of the answer. */
#include <math.h>
#include <sidecall/sidecall.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine.h"

/* The lines of a file, which are part of `out_text`; NULL if there is no such file. */
static char** read_lines(const char* folder, const char* name, char** out_text,
                         int32_t* out_count) {
  char* path = bench_path(folder, name);
  const int exists = access(path, F_OK) == 0;
  free(path);
  *out_count = 0;
  *out_text = NULL;
  if (!exists) return NULL;
  size_t length = 0;
  char* text = bench_read_file(folder, name, &length);
  int32_t count = 0;
  for (const char* at = text; (at = strchr(at, '\n')) != NULL; ++at) ++count;
  char** lines = bench_alloc((size_t)(count + 1) * sizeof *lines);
  char* at = text;
  for (int32_t i = 0; i < count; ++i) {
    lines[i] = at;
    at = strchr(at, '\n');
    *at++ = '\0';
  }
  *out_text = text;
  *out_count = count;
  return lines;
}

void records_open(records* all, const bench_workload* workload) {
  int32_t count = 0;
  char* text = NULL;
  char** lines = read_lines(workload->folder, "columns.txt", &text, &count);
  if (count != workload->width) bench_fail("columns.txt: expected %ld lines", workload->width);
  all->workload = workload;
  all->width = count;
  all->columns = bench_alloc((size_t)count * sizeof *all->columns);
  for (int32_t i = 0; i < count; ++i) {
    char kind[16];
    if (sscanf(lines[i], "%15s %63s %63s", kind, all->columns[i].name, all->columns[i].input) != 3)
      bench_fail("columns.txt: expected kind, name and input in each line");
    all->columns[i].is_string = strcmp(kind, "string") == 0;
  }
  free(lines);
  free(text);
  all->strings = read_lines(workload->folder, "strings.txt", &all->text, &count);
  all->lengths = bench_alloc((size_t)(count + 1) * sizeof *all->lengths);
  for (int32_t i = 0; i < count; ++i) all->lengths[i] = strlen(all->strings[i]);
  all->labels = read_lines(workload->folder, "labels.txt", &all->label_text, &all->num_labels);
}

void records_close(records* all) {
  free(all->columns);
  free(all->strings);
  free(all->lengths);
  free(all->labels);
  free(all->text);
  free(all->label_text);
}

size_t records_answer_bytes(const bench_workload* workload) {
  return sizeof(records_answer) + (size_t)workload->classes * sizeof(double);
}

void records_decode(const records* all, const void* slot, double* answers) {
  const int64_t classes = all->workload->classes;
  const char* at = slot;
  for (int64_t row = 0; row < all->workload->rows; ++row) {
    const records_answer* answer = (const void*)at;
    /* An unknown string has the number -2, which is that of no class. */
    int64_t label = all->num_labels > 0 ? -2 : answer->label;
    for (int32_t i = 0; i < all->num_labels; ++i) {
      if (strlen(all->labels[i]) == answer->label_length &&
          memcmp(all->labels[i], answer->label_text, answer->label_length) == 0)
        label = i;
    }
    *answers++ = (double)label;
    memcpy(answers, answer + 1, (size_t)classes * sizeof(double));
    answers += classes;
    at += records_answer_bytes(all->workload);
  }
}

typedef struct record_state {
  bench_state base;
  records all;
  sidecall_model* model;
  sidecall_call* call;
  sidecall_error err;
  int32_t* features;
  int32_t label;
  int32_t first_class;
} record_state;

static void check(const record_state* state, sidecall_status status) {
  if (status != SIDECALL_OK) bench_fail("sidecall: %s", state->err.message);
}

static bench_state* open_record(const bench_workload* workload) {
  record_state* state = bench_alloc(sizeof *state);
  char* path = bench_path(workload->folder, "model.onnx");
  sidecall_error_init(&state->err);
  check(state, sidecall_model_open(path, NULL, &state->model, &state->err));
  free(path);
  check(state, sidecall_call_open(state->model, workload->rows, &state->call, &state->err));
  records_open(&state->all, workload);
  state->features = bench_alloc((size_t)state->all.width * sizeof *state->features);
  for (int32_t i = 0; i < state->all.width; ++i) {
    state->features[i] = sidecall_model_feature(state->model, state->all.columns[i].name);
    if (state->features[i] < 0) bench_fail("no feature '%s'", state->all.columns[i].name);
  }
  state->label = sidecall_model_column(state->model, "label");
  state->first_class = state->label + 1; /* the probabilities follow the label */
  state->base.slot_bytes = (size_t)workload->rows * records_answer_bytes(workload);
  return &state->base;
}

static void run_record(bench_state* base, int64_t first, void* slot) {
  record_state* state = (record_state*)base;
  const records* all = &state->all;
  sidecall_call* call = state->call;
  sidecall_error* err = &state->err;
  const double* value = all->workload->features + first * all->width;
  for (int64_t row = 0; row < all->workload->rows; ++row) {
    for (int32_t i = 0; i < all->width; ++i, ++value) {
      const int32_t feature = state->features[i];
      if (isnan(*value)) {
        check(state, sidecall_call_set_missing(call, row, feature, err));
      } else if (all->columns[i].is_string) {
        const int64_t at = (int64_t)*value;
        check(state,
              sidecall_call_set_str(call, row, feature, all->strings[at], all->lengths[at], err));
      } else {
        check(state, sidecall_call_set_f64(call, row, feature, *value, err));
      }
    }
  }
  check(state, sidecall_call_run(call, -1, err));
  char* at = slot;
  for (int64_t row = 0; row < all->workload->rows; ++row) {
    records_answer* answer = (void*)at;
    double* probabilities = (double*)(void*)(answer + 1);
    if (all->num_labels > 0) {
      const char* text = NULL;
      size_t length = 0;
      check(state, sidecall_call_get_str(call, row, state->label, &text, &length, err));
      if (length > sizeof answer->label_text) bench_fail("label: expected a short string");
      answer->label_length = length;
      memcpy(answer->label_text, text, answer->label_length);
    } else {
      check(state, sidecall_call_get_i64(call, row, state->label, &answer->label, err));
    }
    for (int32_t i = 0; i < (int32_t)all->workload->classes; ++i)
      check(state,
            sidecall_call_get_f64(call, row, state->first_class + i, &probabilities[i], err));
    at += records_answer_bytes(all->workload);
  }
}

static void decode_record(bench_state* base, const void* slot, double* answers) {
  records_decode(&((record_state*)base)->all, slot, answers);
}

static void close_record(bench_state* base) {
  record_state* state = (record_state*)base;
  sidecall_call_close(state->call);
  sidecall_model_close(state->model);
  records_close(&state->all);
  free(state->features);
  free(state);
}

const bench_approach bench_records[] = {
    {"record", open_record, NULL, run_record, decode_record, close_record},
    {"raw_record", raw_records_open, NULL, raw_records_run, raw_records_decode, raw_records_close},
    {"raw_record_arena", raw_records_open_arena, NULL, raw_records_run, raw_records_decode,
     raw_records_close},
    {NULL, NULL, NULL, NULL, NULL, NULL},
};
