/* Shared by the native approaches of benchmarks/inproc and benchmarks/engine: a workload, and the
 * functions by which an approach answers calls over it. main.c uses them. */
#ifndef SIDECALL_BENCHMARKS_INPROC_BENCH_H
#define SIDECALL_BENCHMARKS_INPROC_BENCH_H

#include <stddef.h>
#include <stdint.h>

/* Calls cycle through this number of distinct rows; a branch predictor cannot learn so many. */
#define BENCH_RING 1024

/* A folder that run.py wrote, and the number of rows per call. Call i takes `rows` rows, starting
 * at row i % BENCH_RING. */
typedef struct bench_workload {
  const char* folder;
  int64_t rows;
  int64_t width;          /* features per row */
  int64_t classes;        /* probabilities per answer */
  const double* features; /* BENCH_RING + rows rows, or more */
  char** records;         /* the first rows as JSON objects */
  size_t* record_lengths;
  int64_t num_records;
} bench_workload;

/* The first member of the state of every approach. */
typedef struct bench_state {
  size_t slot_bytes; /* size of one answer in the form in which the approach stores it */
} bench_state;

typedef struct bench_approach {
  const char* name;
  bench_state* (*open)(const bench_workload* workload);
  /* Receives a request before the clock starts. NULL if the approach does not need this. */
  void (*prepare)(bench_state* state, int64_t row);
  void (*run)(bench_state* state, int64_t row, void* slot);
  /* Runs after the clock stopped. Writes per row the label (-1: none) and the probabilities. */
  void (*decode)(bench_state* state, const void* slot, double* answers);
  void (*close)(bench_state* state);
} bench_approach;

extern const bench_approach bench_raw[];       /* raw.c; each list ends with a NULL name */
extern const bench_approach bench_calls[];     /* calls.c */
extern const bench_approach bench_generated[]; /* generated.c */

/* The lists of a program, which end with NULL; each program has a file approaches.c. */
extern const bench_approach* const bench_approaches[];

/* Prints "error ..." as the answer to run.py and ends the program. */
_Noreturn void bench_fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

void* bench_alloc(size_t bytes); /* zeroed, aligned to a cache line; fails by bench_fail */
char* bench_path(const char* folder, const char* name);
int64_t bench_now_ns(void);

/* workload.c. The whole file, followed by a NUL. */
char* bench_read_file(const char* folder, const char* name, size_t* out_length);
void bench_load_workload(bench_workload* workload, const char* folder, int64_t rows);
void bench_free_workload(bench_workload* workload);

/* generated.c. Fails by bench_fail if `library` is NULL or does not have the symbol. */
void* bench_symbol(void* library, const char* name);

/* opening.c. Opens each of `count` files of a folder in three ways and times them: sidecall, a
 * session with default options, and a session with sidecall's options. One way opens `at_once`
 * files, then the next way opens the same files. Writes 3 * count numbers. */
void bench_time_opening(const char* folder, int64_t count, int64_t at_once, int64_t* out_ns);
/* Growth of resident memory in KiB over `count` opens and closes, after `warm_up` of them. */
int64_t bench_growth(const char* path, int64_t warm_up, int64_t count);

/* raw.c. A session of the raw approach; `tuned` is 0 for default options, 1 for one thread and no
 * arena. */
void* bench_raw_session_open(const char* path, int tuned);
void bench_raw_session_close(void* session);

/* machine.c. The time in ns of `loads` loads, each of which reads the address of the next one. The
 * loads go through `bytes` of memory in random order. */
int64_t bench_time_chase(int64_t bytes, int64_t loads);
/* The time in ns to read `bytes` of memory `repeats` times. */
int64_t bench_time_stream(int64_t bytes, int64_t repeats);

#endif
