/* What the native approaches of benchmarks/inproc share: a workload, and how an approach answers calls over it. main.c drives them. */
#ifndef SIDECALL_BENCHMARKS_INPROC_BENCH_H
#define SIDECALL_BENCHMARKS_INPROC_BENCH_H

#include <stddef.h>
#include <stdint.h>

/* Calls walk over this many distinct rows, so that branch predictors cannot learn one row by heart. */
#define BENCH_RING 1024

/* A folder that run.py wrote, and how many rows a call takes. Call i takes `rows` rows from row i % BENCH_RING on. */
typedef struct bench_workload {
  const char* folder;
  int64_t rows;
  int64_t width;          /* features of a row */
  int64_t classes;        /* probabilities of an answer */
  const double* features; /* BENCH_RING + rows of them, or more */
  char** records;         /* the same rows as JSON objects */
  size_t* record_lengths;
} bench_workload;

/* An approach keeps its state behind a pointer that starts with this. */
typedef struct bench_state {
  size_t slot_bytes; /* what one answer takes as the approach leaves it */
} bench_state;

typedef struct bench_approach {
  const char* name;
  bench_state* (*open)(const bench_workload* workload);
  void (*prepare)(bench_state* state,
                  int64_t row); /* before the clock starts: a request arrives; or NULL */
  void (*run)(bench_state* state, int64_t row, void* slot);
  void (*decode)(
      bench_state* state, const void* slot,
      double* answers); /* after it stopped: per row the label (-1: none) and the probabilities */
  void (*close)(bench_state* state);
} bench_approach;

extern const bench_approach bench_raw[];       /* raw.c; lists end with a NULL name */
extern const bench_approach bench_calls[];     /* calls.c */
extern const bench_approach bench_generated[]; /* generated.c */

/* Prints "error ..." as the answer to run.py and ends the program. */
_Noreturn void bench_fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

void* bench_alloc(size_t bytes); /* zeroed, aligned to a cache line; fails by bench_fail */
char* bench_path(const char* folder, const char* name);
int64_t bench_now_ns(void);

void bench_load_workload(bench_workload* workload, const char* folder, int64_t rows);
void bench_free_workload(bench_workload* workload);

/* opening.c. Times of opening each of `count` files of a folder, in turn by sidecall, by a session with default options and by one with
 * sidecall's options: 3 * count numbers. */
void bench_time_opening(const char* folder, int64_t count, int64_t* out_ns);
/* Growth of resident memory in KiB over `count` opens and closes, after `warm_up` of them. */
int64_t bench_growth(const char* path, int64_t warm_up, int64_t count);

/* raw.c. A session of the raw rival; `tuned` is 0 for default options, 1 for one thread without arena. */
void* bench_raw_session_open(const char* path, int tuned);
void bench_raw_session_close(void* session);

#endif
