/* Many clients at once: throughput by number of threads, and clients that only keep a connection
 * open. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "client.h"
#include "peer.h"

typedef struct member {
  pthread_t thread;
  bench_call call;
  const bench_rows* rows;
  atomic_int* phase; /* 0: wait, 1: call, 2: end */
  int64_t* times;
  int64_t num_times, capacity;
} member;

static void* call_until_the_end(void* argument) {
  member* self = argument;
  double answers[8];
  for (int64_t number = 0; atomic_load_explicit(self->phase, memory_order_relaxed) < 2; ++number) {
    const int64_t time = bench_call_run(&self->call, self->rows, number, answers);
    if (atomic_load_explicit(self->phase, memory_order_relaxed) == 1 &&
        self->num_times < self->capacity)
      self->times[self->num_times++] = time;
  }
  return NULL;
}

static void sleep_ns(int64_t duration) {
  const struct timespec time = {duration / 1000000000, duration % 1000000000};
  nanosleep(&time, NULL);
}

static int compare(const void* a, const void* b) {
  const int64_t left = *(const int64_t*)a, right = *(const int64_t*)b;
  return (left > right) - (left < right);
}

void bench_throughput(const char* uri, const bench_rows* rows, int64_t clients, int64_t duration_ns,
                      int64_t out[3]) {
  atomic_int phase = 0;
  member* members = peer_alloc((size_t)clients * sizeof *members);
  for (int64_t i = 0; i < clients; ++i) {
    member* one = &members[i];
    one->rows = rows;
    one->phase = &phase;
    one->capacity = duration_ns / 500;
    one->times = malloc((size_t)one->capacity * sizeof *one->times);
    bench_call_open(&one->call, "member", "gbm", uri, 1);
  }
  for (int64_t i = 0; i < clients; ++i) {
    if (pthread_create(&members[i].thread, NULL, call_until_the_end, &members[i]) != 0)
      peer_fail("cannot start a thread");
  }
  sleep_ns(duration_ns / 4); /* until every thread is calling */
  const int64_t start = peer_now_ns();
  atomic_store(&phase, 1);
  sleep_ns(duration_ns);
  atomic_store(&phase, 2);
  const int64_t taken = peer_now_ns() - start;
  int64_t total = 0;
  for (int64_t i = 0; i < clients; ++i) {
    pthread_join(members[i].thread, NULL);
    total += members[i].num_times;
  }
  int64_t* all = peer_alloc((size_t)total * sizeof *all);
  for (int64_t i = 0, at = 0; i < clients; ++i) {
    for (int64_t k = 0; k < members[i].num_times; ++k) all[at++] = members[i].times[k];
    bench_call_close(&members[i].call);
    free(members[i].times);
  }
  qsort(all, (size_t)total, sizeof *all, compare);
  out[0] = (int64_t)((double)total * 1e9 / (double)taken);
  out[1] = all[total / 2];
  out[2] = all[total * 99 / 100];
  free(all);
  free(members);
}

static sidecall_model* idle_model;
static sidecall_call** idle_calls;
static int64_t num_idle;

void bench_idle_begin(const char* uri, int64_t clients) {
  struct rlimit limit = {0, 0};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  sidecall_error err = SIDECALL_ERROR_INIT;
  if (sidecall_model_open(uri, NULL, &idle_model, &err)) peer_fail("idle: %s", err.message);
  idle_calls = peer_alloc((size_t)clients * sizeof(sidecall_call*));
  for (num_idle = 0; num_idle < clients; ++num_idle) {
    sidecall_view input = SIDECALL_VIEW_INIT;
    if (sidecall_call_open(idle_model, 1, &idle_calls[num_idle], &err) ||
        sidecall_call_input(idle_calls[num_idle], 0, &input, &err))
      peer_fail("idle: %s", err.message);
    memset(input.data, 0, input.data_bytes);
    if (sidecall_call_run(idle_calls[num_idle], -1, &err)) peer_fail("idle: %s", err.message);
  }
}

void bench_idle_end(void) {
  for (int64_t i = 0; i < num_idle; ++i) sidecall_call_close(idle_calls[i]);
  sidecall_model_close(idle_model);
  free(idle_calls);
  idle_calls = NULL;
  idle_model = NULL;
  num_idle = 0;
}
