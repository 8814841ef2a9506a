/* client.c: the client in C of the benchmark of languages:   bench-languages MODEL ROWS
 *
 * MODEL is a file with 30 float32 features x0, x1, ... and probabilities of two classes, which runs
 * on the native engine. ROWS has 1024 rows of 30 float64 numbers. The clients in the other
 * languages answer the same requests, a line each:
 *
 *   call FIRST BLOCKS        a row is written into the memory of a call, which runs and is read
 *   record FIRST BLOCKS      a record with 30 fields is predicted
 *   served URI RUNS FLIGHT   RUNS records are predicted by a server, FLIGHT of them at a time
 *   allocations              only in Go and Java: how many objects or bytes one call, and one
 *                            record, allocate; there are no times
 *
 * The rows are FIRST, FIRST + 1, ...; after the last row follows the first. The answer is a line
 * "ok TIMES ANSWERS", then TIMES int64 numbers: the nanoseconds of each block of 64 calls, or of
 * all runs; then ANSWERS float64 numbers: the probability of the second class for each row. */
#include <sidecall/sidecall.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { kFeatures = 30, kRows = 1024, kBlock = 64, kMaxFlight = 256 };

typedef struct Record {
  double x[kFeatures];
} Record;

static Record rows[kRows];
static sidecall_error err;

static void check(sidecall_status status) {
  if (status == SIDECALL_OK) return;
  printf("error %s\n", err.message);
  exit(1);
}

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void answer(const int64_t* times, int64_t num_times, const double* answers,
                   int64_t num_answers) {
  printf("ok %lld %lld\n", (long long)num_times, (long long)num_answers);
  fwrite(times, sizeof *times, (size_t)num_times, stdout);
  fwrite(answers, sizeof *answers, (size_t)num_answers, stdout);
  fflush(stdout);
}

static void call_blocks(sidecall_call* call, int64_t first, int64_t blocks) {
  int64_t* times = calloc((size_t)blocks, sizeof *times);
  double* answers = calloc((size_t)blocks * kBlock, sizeof *answers);
  sidecall_view input = SIDECALL_VIEW_INIT, output = SIDECALL_VIEW_INIT;
  check(sidecall_call_reset(call, &err));
  check(sidecall_call_input(call, 0, &input, &err));
  memset(input.data, 0, input.data_bytes);
  check(sidecall_call_run(call, -1, &err)); /* the output has memory after a run */
  check(sidecall_call_output(call, 1, &output, &err));
  float* numbers = input.data;
  const float* probabilities = output.data;
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t begin = now_ns();
    for (int64_t i = block * kBlock; i < (block + 1) * kBlock; ++i) {
      const Record* row = &rows[(first + i) % kRows];
      for (int k = 0; k < kFeatures; ++k) numbers[k] = (float)row->x[k];
      check(sidecall_call_run(call, -1, &err));
      answers[i] = probabilities[1];
    }
    times[block] = now_ns() - begin;
  }
  answer(times, blocks, answers, blocks * kBlock);
  free(times);
  free(answers);
}

static void set_record(sidecall_call* call, const Record* row) {
  sidecall_value values[kFeatures];
  memset(values, 0, sizeof values);
  for (int k = 0; k < kFeatures; ++k) {
    values[k].kind = SIDECALL_VALUE_F64;
    values[k].f64 = row->x[k];
  }
  sidecall_call_set_row(call, 0, NULL, values, kFeatures, &err); /* the run reports refusals */
}

static double read_answer(sidecall_call* call, int32_t column) {
  sidecall_value value;
  check(sidecall_call_get_row(call, 0, &column, &value, 1, &err));
  return value.f64;
}

static void record_blocks(sidecall_call* call, int32_t column, int64_t first, int64_t blocks) {
  int64_t* times = calloc((size_t)blocks, sizeof *times);
  double* answers = calloc((size_t)blocks * kBlock, sizeof *answers);
  check(sidecall_call_clear(call, &err));
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t begin = now_ns();
    for (int64_t i = block * kBlock; i < (block + 1) * kBlock; ++i) {
      set_record(call, &rows[(first + i) % kRows]);
      check(sidecall_call_run(call, -1, &err));
      answers[i] = read_answer(call, column);
    }
    times[block] = now_ns() - begin;
  }
  answer(times, blocks, answers, blocks * kBlock);
  free(times);
  free(answers);
}

static void served_runs(const char* uri, int64_t runs, int64_t flight) {
  double* answers = calloc((size_t)runs, sizeof *answers);
  sidecall_model* model = NULL;
  sidecall_call* calls[kMaxFlight];
  uint64_t numbers[kMaxFlight];
  sidecall_queue* queue = NULL;
  sidecall_completion done;
  int64_t count = 0;
  check(sidecall_model_open(uri, NULL, &model, &err));
  check(sidecall_queue_open(NULL, &queue, &err));
  const int32_t column = sidecall_model_column(model, "probabilities.1");
  for (int64_t k = 0; k < flight; ++k) check(sidecall_call_open(model, 1, &calls[k], &err));
  const int64_t begin = now_ns();
  for (int64_t i = 0; i < runs + flight; ++i) {
    sidecall_call* call = calls[i % flight];
    if (i >= flight && i - flight < runs) {
      check(
          sidecall_queue_take(queue, numbers[i % flight], &done, sizeof done, 1, -1, &count, &err));
      check(done.status == SIDECALL_OK ? SIDECALL_OK : sidecall_call_error(call, &err));
      answers[i - flight] = read_answer(call, column);
    }
    if (i >= runs) continue;
    set_record(call, &rows[i % kRows]);
    check(sidecall_queue_submit(queue, call, -1, 0, &numbers[i % flight], &err));
  }
  const int64_t time = now_ns() - begin;
  sidecall_queue_close(queue);
  for (int64_t k = 0; k < flight; ++k) sidecall_call_close(calls[k]);
  sidecall_model_close(model);
  answer(&time, 1, answers, runs);
  free(answers);
}

int main(int argc, char** argv) {
  FILE* file = argc == 3 ? fopen(argv[2], "rb") : NULL;
  if (file == NULL || fread(rows, sizeof(Record), kRows, file) != kRows) {
    fprintf(stderr, "usage: bench-languages MODEL ROWS\n");
    return 1;
  }
  fclose(file);
  sidecall_error_init(&err);
  sidecall_model* model = NULL;
  sidecall_call* call = NULL;
  check(sidecall_model_open(argv[1], NULL, &model, &err));
  check(sidecall_call_open(model, 1, &call, &err));
  const int32_t column = sidecall_model_column(model, "probabilities.1");
  char line[1024], uri[512];
  long long first, second;
  while (fgets(line, sizeof line, stdin) != NULL) {
    if (sscanf(line, "call %lld %lld", &first, &second) == 2) call_blocks(call, first, second);
    else if (sscanf(line, "record %lld %lld", &first, &second) == 2)
      record_blocks(call, column, first, second);
    else if (sscanf(line, "served %511s %lld %lld", uri, &first, &second) == 3 &&
             second <= kMaxFlight)
      served_runs(uri, first, second);
    else printf("error unknown request\n");
    fflush(stdout);
  }
  sidecall_call_close(call);
  sidecall_model_close(model);
  return 0;
}
