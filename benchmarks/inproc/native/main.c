/* The native side of benchmarks/inproc and benchmarks/engine: answers requests of run.py, one line
 * each on stdin.
 *
 *   load FOLDER ROWS                 loads the workload that the next rounds use
 *   round NAME FIRST CALLS WARM_UP   times CALLS calls of an approach one by one, from call FIRST
 *   round NAME FIRST CALLS WARM_UP BLOCK   the same, but times blocks of BLOCK calls
 *   allocations NAME CALLS           counts allocations in CALLS calls (needs count_malloc)
 *   opening FOLDER COUNT AT_ONCE     bench_time_opening
 *   growth FILE WARM_UP COUNT        bench_growth
 *   chase BYTES LOADS                bench_time_chase
 *   stream BYTES REPEATS             bench_time_stream
 *
 * An answer is the line "ok NUMBERS ANSWERS", followed by NUMBERS int64 (times in ns, or counts)
 * and ANSWERS float64 (labels and probabilities, which run.py checks). On failure it is "error
 * TEXT", and the program ends. */
#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define MAX_APPROACHES 16

static bench_workload workload;
static struct {
  const bench_approach* approach;
  bench_state* state;
} opened[MAX_APPROACHES];
static int num_opened;

static void answer(const int64_t* numbers, int64_t num_numbers, const double* answers,
                   int64_t num_answers) {
  printf("ok %" PRId64 " %" PRId64 "\n", num_numbers, num_answers);
  if (num_numbers > 0) fwrite(numbers, sizeof *numbers, (size_t)num_numbers, stdout);
  if (num_answers > 0) fwrite(answers, sizeof *answers, (size_t)num_answers, stdout);
  fflush(stdout);
}

static void close_all(void) {
  for (int i = 0; i < num_opened; ++i) opened[i].approach->close(opened[i].state);
  num_opened = 0;
}

static const bench_approach* find_in(const bench_approach* list, const char* name) {
  while (list->name != NULL && strcmp(list->name, name) != 0) ++list;
  return list->name == NULL ? NULL : list;
}

/* The approach is opened on first use and stays open until another workload is loaded. */
static int find(const char* name) {
  for (int i = 0; i < num_opened; ++i) {
    if (strcmp(opened[i].approach->name, name) == 0) return i;
  }
  const bench_approach* found = NULL;
  for (const bench_approach* const* list = bench_approaches; *list != NULL && found == NULL; ++list)
    found = find_in(*list, name);
  if (found == NULL || workload.folder == NULL || num_opened == MAX_APPROACHES)
    bench_fail("no approach '%s', or nothing is loaded", name);
  opened[num_opened].approach = found;
  opened[num_opened].state = found->open(&workload);
  return num_opened++;
}

static int64_t time_call(const bench_approach* approach, bench_state* state, int64_t call,
                         void* slot) {
  const int64_t row = call % BENCH_RING;
  if (approach->prepare != NULL) approach->prepare(state, row);
  const int64_t start = bench_now_ns();
  approach->run(state, row, slot);
  return bench_now_ns() - start;
}

/* Reading the clock takes about 20 ns, so short calls are timed in blocks. */
static int64_t time_block(const bench_approach* approach, bench_state* state, int64_t first,
                          int64_t calls, char* slots) {
  const int64_t start = bench_now_ns();
  for (int64_t i = 0; i < calls; ++i)
    approach->run(state, (first + i) % BENCH_RING, slots + (size_t)i * state->slot_bytes);
  return bench_now_ns() - start;
}

static void do_round(const char* name, int64_t first, int64_t calls, int64_t warm_up,
                     int64_t block) {
  const int at = find(name);
  const bench_approach* approach = opened[at].approach;
  bench_state* state = opened[at].state;
  const int64_t per_call = workload.rows * (1 + workload.classes);
  if (block < 1 || calls % block != 0 || (block > 1 && approach->prepare != NULL))
    bench_fail("round: '%s' has no blocks of %ld calls", name, block);
  int64_t* times = bench_alloc((size_t)calls * sizeof *times);
  char* slots = bench_alloc((size_t)calls * state->slot_bytes);
  double* answers = bench_alloc((size_t)(calls * per_call) * sizeof *answers);
  for (int64_t i = 0; i < warm_up; ++i) time_call(approach, state, first + calls + i, slots);
  for (int64_t i = 0; i < calls && block == 1; ++i)
    times[i] = time_call(approach, state, first + i, slots + (size_t)i * state->slot_bytes);
  for (int64_t i = 0; i < calls && block > 1; i += block) {
    times[i / block] =
        time_block(approach, state, first + i, block, slots + (size_t)i * state->slot_bytes);
  }
  for (int64_t i = 0; i < calls; ++i)
    approach->decode(state, slots + (size_t)i * state->slot_bytes, answers + i * per_call);
  answer(times, calls / block, answers, calls * per_call);
  free(times);
  free(slots);
  free(answers);
}

static void do_allocations(const char* name, int64_t calls) {
  int64_t (*counted)(void) = NULL;
  *(void**)&counted = dlsym(RTLD_DEFAULT, "bench_count_allocations");
  if (counted == NULL) bench_fail("allocations: expected count_malloc to be preloaded");
  const int at = find(name);
  void* slot = bench_alloc(opened[at].state->slot_bytes);
  for (int64_t i = 0; i < BENCH_RING; ++i)
    time_call(opened[at].approach, opened[at].state, i, slot);
  const int64_t before = counted();
  for (int64_t i = 0; i < calls; ++i) time_call(opened[at].approach, opened[at].state, i, slot);
  const int64_t during = counted() - before;
  answer(&during, 1, NULL, 0);
  free(slot);
}

static void do_opening(const char* folder, int64_t count, int64_t at_once) {
  int64_t* times = bench_alloc((size_t)(3 * count) * sizeof *times);
  bench_time_opening(folder, count, at_once, times);
  answer(times, 3 * count, NULL, 0);
  free(times);
}

static void do_growth(const char* file, int64_t warm_up, int64_t count) {
  const int64_t grown = bench_growth(file, warm_up, count);
  answer(&grown, 1, NULL, 0);
}

int main(void) {
  char line[4096], first[64], text[2048], name[64];
  int64_t a = 0, b = 0, c = 0, block = 1;
  while (fgets(line, sizeof line, stdin) != NULL) {
    if (sscanf(line, "load %2047s %" SCNd64, text, &a) == 2) {
      close_all();
      bench_free_workload(&workload);
      bench_load_workload(&workload, text, a);
      answer(NULL, 0, NULL, 0);
    } else if (block = 1, sscanf(line, "round %63s %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64,
                                 name, &a, &b, &c, &block) >= 4) {
      do_round(name, a, b, c, block);
    } else if (sscanf(line, "allocations %63s %" SCNd64, name, &a) == 2) {
      do_allocations(name, a);
    } else if (sscanf(line, "opening %2047s %" SCNd64 " %" SCNd64, text, &a, &b) == 3) {
      do_opening(text, a, b);
    } else if (sscanf(line, "growth %2047s %" SCNd64 " %" SCNd64, text, &a, &b) == 3) {
      do_growth(text, a, b);
    } else if (sscanf(line, "chase %" SCNd64 " %" SCNd64, &a, &b) == 2) {
      const int64_t time = bench_time_chase(a, b);
      answer(&time, 1, NULL, 0);
    } else if (sscanf(line, "stream %" SCNd64 " %" SCNd64, &a, &b) == 2) {
      const int64_t time = bench_time_stream(a, b);
      answer(&time, 1, NULL, 0);
    } else {
      first[0] = '\0';
      sscanf(line, "%63s", first);
      bench_fail("unknown request '%s'", first);
    }
  }
  close_all();
  bench_free_workload(&workload);
  return 0;
}
