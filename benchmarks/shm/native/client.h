/* The functions that client.c uses: one call over one URI, many calls at once, many idle clients,
 * and runs in a queue. calls.c, crowd.c and queue.c define them. */
#ifndef SIDECALL_BENCHMARKS_SHM_CLIENT_H
#define SIDECALL_BENCHMARKS_SHM_CLIENT_H

#include <sidecall/sidecall.h>
#include <stdint.h>

/* Calls cycle through this number of distinct rows. */
#define BENCH_RING 1024

typedef struct bench_rows {
  double* features; /* BENCH_RING rows of `width` */
  int64_t width;
} bench_rows;

typedef enum bench_kind { BENCH_ECHO, BENCH_SCALAR, BENCH_COPY, BENCH_GBM } bench_kind;

typedef struct bench_call {
  char name[64];
  bench_kind kind;
  int64_t elements; /* elements of X, for scalar and copy */
  sidecall_model* model;
  sidecall_call* call;
  sidecall_view input;
  sidecall_view outputs[2];
  int32_t num_outputs;
  float* payload; /* the data that copy sends and receives */
  float* received;
} bench_call;

void bench_rows_load(bench_rows* rows, const char* folder);

void bench_call_open(bench_call* call, const char* name, const char* kind, const char* uri,
                     int64_t elements);
void bench_call_close(bench_call* call);
int64_t bench_call_answers(const bench_call* call); /* number of float64s per call */
/* One round trip: writes the values, runs, reads the values; returns its time in ns. Ends the
 * program if the answer can be checked and is wrong. */
int64_t bench_call_run(bench_call* call, const bench_rows* rows, int64_t number, double* answers);

/* `clients` threads call for `duration_ns`; writes calls per second, p50 and p99 in ns. */
void bench_throughput(const char* uri, const bench_rows* rows, int64_t clients, int64_t duration_ns,
                      int64_t out[3]);

void bench_idle_begin(const char* uri, int64_t clients);
void bench_idle_end(void);

/* Runs the model `runs` times, `flight` of them at a time, and writes the time of each in ns. */
void bench_queue(const char* uri, int64_t flight, int64_t runs, int64_t* times);

/* Runs the model on `rows` rows, and writes how long each submit took in ns. */
void bench_submit(const char* uri, int64_t rows, int64_t runs, int64_t* times);

/* Opens the model of a server that is going to hang. Then runs another model one at a time: `runs`
 * times alone, and `runs` times while `hung` runs of the first model are under way, in turns of
 * 1000. `runs` is a multiple of 1000. */
void bench_hung_open(const char* uri);
void bench_neighbour(const char* uri, int64_t hung, int64_t runs, int64_t* times);

#endif
