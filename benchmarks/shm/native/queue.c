/* Runs in a completion queue: how many are under way, what submit costs the thread that calls it,
 * and what a server that hangs costs the runs of another. */
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "peer.h"

#define MAX_FLIGHT 128

static sidecall_error err = SIDECALL_ERROR_INIT;

static void check(sidecall_status status) {
  if (status != SIDECALL_OK) peer_fail("queue: %s", err.message);
}

/* A call of the model; its inputs are 0. */
static sidecall_call* take_call(sidecall_model* model, int64_t rows) {
  sidecall_call* call = NULL;
  sidecall_view input = SIDECALL_VIEW_INIT;
  check(sidecall_model_take_call(model, rows, &call, &err));
  check(sidecall_call_input(call, 0, &input, &err));
  memset(input.data, 0, input.data_bytes);
  return call;
}

static sidecall_completion take_one(sidecall_queue* queue) {
  sidecall_completion done;
  int64_t count = 0;
  check(sidecall_queue_take(queue, 0, &done, sizeof done, 1, -1, &count, &err));
  return done;
}

static void check_done(const sidecall_completion* done) {
  if (done->status != SIDECALL_OK) check(sidecall_call_error(done->call, &err));
}

void bench_queue(const char* uri, int64_t flight, int64_t runs, int64_t* times) {
  sidecall_model* model = NULL;
  sidecall_queue* queue = NULL;
  sidecall_completion done[MAX_FLIGHT];
  if (flight > MAX_FLIGHT) peer_fail("queue: expected at most %d runs under way", MAX_FLIGHT);
  int64_t* begun = peer_alloc((size_t)runs * sizeof *begun);
  check(sidecall_model_open(uri, NULL, &model, &err));
  check(sidecall_queue_open(NULL, &queue, &err));
  int64_t started = 0, ended = 0;
  for (; started < flight && started < runs; ++started) {
    begun[started] = peer_now_ns();
    check(sidecall_queue_submit(queue, take_call(model, 1), -1, (uint64_t)started, NULL, &err));
  }
  while (ended < runs) {
    int64_t count = 0;
    check(sidecall_queue_take(queue, 0, done, sizeof done[0], MAX_FLIGHT, -1, &count, &err));
    for (int64_t i = 0; i < count; ++i, ++ended) {
      check_done(&done[i]);
      times[done[i].tag] = peer_now_ns() - begun[done[i].tag];
      if (started == runs) {
        sidecall_model_give_call(model, done[i].call);
        continue;
      }
      begun[started] = peer_now_ns();
      check(sidecall_queue_submit(queue, done[i].call, -1, (uint64_t)started++, NULL, &err));
    }
  }
  sidecall_queue_close(queue);
  sidecall_model_close(model);
  free(begun);
}

void bench_submit(const char* uri, int64_t rows, int64_t runs, int64_t* times) {
  sidecall_model* model = NULL;
  sidecall_queue* queue = NULL;
  check(sidecall_model_open(uri, NULL, &model, &err));
  check(sidecall_queue_open(NULL, &queue, &err));
  sidecall_call* call = take_call(model, rows);
  for (int64_t i = -1; i < runs; ++i) { /* the first one connects */
    const int64_t start = peer_now_ns();
    check(sidecall_queue_submit(queue, call, -1, 0, NULL, &err));
    if (i >= 0) times[i] = peer_now_ns() - start;
    const sidecall_completion done = take_one(queue);
    check_done(&done);
  }
  sidecall_queue_close(queue);
  sidecall_call_close(call);
  sidecall_model_close(model);
}

static sidecall_model* hung_model;

void bench_hung_open(const char* uri) {
  sidecall_model_close(hung_model);
  hung_model = NULL;
  check(sidecall_model_open(uri, NULL, &hung_model, &err));
}

void bench_neighbour(const char* uri, int64_t hung, int64_t runs, int64_t* times) {
  const int64_t kBlock = 1000;
  sidecall_model* model = NULL;
  sidecall_queue* queue = NULL;
  sidecall_call* calls[MAX_FLIGHT];
  uint64_t numbers[MAX_FLIGHT];
  if (hung > MAX_FLIGHT) peer_fail("neighbour: expected at most %d runs", MAX_FLIGHT);
  check(sidecall_model_open(uri, NULL, &model, &err));
  check(sidecall_queue_open(NULL, &queue, &err));
  sidecall_call* healthy = take_call(model, 1);
  for (int64_t i = 0; i < hung; ++i) calls[i] = take_call(hung_model, 1);
  for (int64_t at = 0; at < 2 * runs; ++at) {
    if (at % (2 * kBlock) == kBlock) {
      for (int64_t i = 0; i < hung; ++i)
        check(sidecall_queue_submit(queue, calls[i], -1, 1, &numbers[i], &err));
    }
    const int64_t start = peer_now_ns();
    check(sidecall_queue_submit(queue, healthy, -1, 0, NULL, &err));
    const sidecall_completion done = take_one(queue);
    const int64_t took = peer_now_ns() - start;
    if (done.tag != 0) peer_fail("neighbour: a server that hangs has answered");
    check_done(&done);
    const int is_beside = at / kBlock % 2 != 0;
    times[(is_beside ? runs : 0) + at / (2 * kBlock) * kBlock + at % kBlock] = took;
    if (at % (2 * kBlock) == 2 * kBlock - 1) {
      for (int64_t i = 0; i < hung; ++i) sidecall_queue_cancel(queue, numbers[i]);
      for (int64_t i = 0; i < hung; ++i) take_one(queue);
    }
  }
  sidecall_queue_close(queue);
  for (int64_t i = 0; i < hung; ++i) sidecall_call_close(calls[i]);
  sidecall_call_close(healthy);
  sidecall_model_close(model);
  sidecall_model_close(hung_model);
  hung_model = NULL;
}
