/* The native client of benchmarks/shm: answers requests of run.py, one line each on stdin. The
 * environment sets its waiting mode.
 *
 *   open NAME KIND URI ELEMENTS           opens a call over URI; KIND is echo, scalar, copy or gbm
 *   load FOLDER                           loads the rows of gbm (features.f64 and shape.txt, in the
 *                                         form of benchmarks/inproc)
 *   round NAME FIRST CALLS WARM_UP        times CALLS calls one by one; gbm also returns answers
 *   ping KIND CPU PEER CALLS WARM_UP      a floor: KIND is cacheline, socket or semaphore
 *   throughput URI CLIENTS SECONDS_TENTHS gbm by CLIENTS threads with one call each; returns calls
 *                                         per second, p50 and p99 in ns
 *   idle URI CLIENTS                      opens CLIENTS calls, keeps them until the next request
 *   queue URI FLIGHT RUNS                 times RUNS runs in a queue, FLIGHT of them at a time
 *   submit URI ROWS RUNS                  times RUNS submits of ROWS rows
 *   hung URI                              opens the model of a server that is going to hang
 *   neighbour URI HUNG RUNS               times RUNS runs alone and RUNS beside HUNG that hang
 *
 * The form of the answers is that of benchmarks/inproc: "ok NUMBERS ANSWERS", int64s, float64s; or
 * "error TEXT", and the program ends. */
#include <inttypes.h>
#include <sidecall/sidecall.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "peer.h"

#define MAX_CALLS 64

static bench_call opened[MAX_CALLS];
static int num_opened;
static bench_rows rows;

static bench_call* find(const char* name) {
  for (int i = 0; i < num_opened; ++i) {
    if (strcmp(opened[i].name, name) == 0) return &opened[i];
  }
  peer_fail("no call '%s'", name);
}

static void do_open(const char* name, const char* kind, const char* uri, int64_t elements) {
  if (num_opened == MAX_CALLS) peer_fail("expected at most %d calls", MAX_CALLS);
  bench_call_open(&opened[num_opened++], name, kind, uri, elements);
  peer_answer(NULL, 0, NULL, 0);
}

static void do_round(const char* name, int64_t first, int64_t calls, int64_t warm_up) {
  bench_call* call = find(name);
  const int64_t per_call = bench_call_answers(call);
  int64_t* times = peer_alloc((size_t)calls * sizeof *times);
  double* answers = peer_alloc((size_t)(calls * per_call) * sizeof *answers);
  for (int64_t i = 0; i < warm_up; ++i) bench_call_run(call, &rows, first + calls + i, answers);
  for (int64_t i = 0; i < calls; ++i)
    times[i] = bench_call_run(call, &rows, first + i, answers + i * per_call);
  peer_answer(times, calls, answers, calls * per_call);
  free(times);
  free(answers);
}

static void (*ping_of(const char* kind))(int, int, int64_t, int64_t, int64_t*) {
  if (strcmp(kind, "cacheline") == 0) return peer_ping_cacheline;
  if (strcmp(kind, "socket") == 0) return peer_ping_socket;
  if (strcmp(kind, "semaphore") == 0) return peer_ping_semaphore;
  peer_fail("unknown floor '%s'", kind);
}

static void do_ping(const char* kind, int cpu, int peer_cpu, int64_t calls, int64_t warm_up) {
  int64_t* times = peer_alloc((size_t)calls * sizeof *times);
  ping_of(kind)(cpu, peer_cpu, calls, warm_up, times);
  peer_answer(times, calls, NULL, 0);
  free(times);
}

static void do_throughput(const char* uri, int64_t clients, int64_t tenths) {
  int64_t numbers[3];
  bench_throughput(uri, &rows, clients, tenths * 100000000, numbers);
  peer_answer(numbers, 3, NULL, 0);
}

typedef void queue_function(const char* uri, int64_t width, int64_t runs, int64_t* times);

static void do_queue(queue_function* measure, const char* uri, int64_t width, int64_t runs,
                     int64_t num_times) {
  int64_t* times = peer_alloc((size_t)num_times * sizeof *times);
  measure(uri, width, runs, times);
  peer_answer(times, num_times, NULL, 0);
  free(times);
}

int main(void) {
  char line[4096], name[64], kind[64], text[2048];
  int64_t a = 0, b = 0, c = 0;
  int cpu = 0, peer_cpu = 0;
  while (fgets(line, sizeof line, stdin) != NULL) {
    bench_idle_end();
    if (sscanf(line, "open %63s %63s %2047s %" SCNd64, name, kind, text, &a) == 4) {
      do_open(name, kind, text, a);
    } else if (sscanf(line, "load %2047s", text) == 1) {
      bench_rows_load(&rows, text);
      peer_answer(NULL, 0, NULL, 0);
    } else if (sscanf(line, "round %63s %" SCNd64 " %" SCNd64 " %" SCNd64, name, &a, &b, &c) == 4) {
      do_round(name, a, b, c);
    } else if (sscanf(line, "ping %63s %d %d %" SCNd64 " %" SCNd64, kind, &cpu, &peer_cpu, &a,
                      &b) == 5) {
      do_ping(kind, cpu, peer_cpu, a, b);
    } else if (sscanf(line, "throughput %2047s %" SCNd64 " %" SCNd64, text, &a, &b) == 3) {
      do_throughput(text, a, b);
    } else if (sscanf(line, "idle %2047s %" SCNd64, text, &a) == 2) {
      bench_idle_begin(text, a);
      peer_answer(NULL, 0, NULL, 0);
    } else if (sscanf(line, "queue %2047s %" SCNd64 " %" SCNd64, text, &a, &b) == 3) {
      do_queue(bench_queue, text, a, b, b);
    } else if (sscanf(line, "submit %2047s %" SCNd64 " %" SCNd64, text, &a, &b) == 3) {
      do_queue(bench_submit, text, a, b, b);
    } else if (sscanf(line, "neighbour %2047s %" SCNd64 " %" SCNd64, text, &a, &b) == 3) {
      do_queue(bench_neighbour, text, a, b, 2 * b);
    } else if (sscanf(line, "hung %2047s", text) == 1) {
      bench_hung_open(text);
      peer_answer(NULL, 0, NULL, 0);
    } else {
      peer_fail("unknown request '%.40s'", line);
    }
  }
  for (int i = 0; i < num_opened; ++i) bench_call_close(&opened[i]);
  return 0;
}
