/* Measures what the machine itself can do: the time of a load that depends on the load before it,
 * and the speed of reading memory in order. Used by main.c. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"

enum { LINE = 64 }; /* bytes of a cache line */

/* Each line holds the address of the next one, in one random cycle through all lines (Sattolo's
 * algorithm). */
static void** make_cycle(int64_t lines) {
  char* memory = bench_alloc((size_t)lines * LINE);
  int64_t* order = bench_alloc((size_t)lines * sizeof *order);
  uint64_t random = 88172645463325252ULL;
  for (int64_t i = 0; i < lines; ++i) order[i] = i;
  for (int64_t i = lines - 1; i > 0; --i) {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    const int64_t other = (int64_t)(random % (uint64_t)i);
    const int64_t swapped = order[i];
    order[i] = order[other];
    order[other] = swapped;
  }
  for (int64_t i = 0; i < lines; ++i) {
    void* next = memory + order[(i + 1) % lines] * LINE;
    memcpy(memory + order[i] * LINE, &next, sizeof(void*));
  }
  free(order);
  return (void**)(void*)memory;
}

static void** follow(void** at, int64_t loads) {
  for (int64_t i = 0; i < loads; ++i) at = (void**)*at;
  return at;
}

int64_t bench_time_chase(int64_t bytes, int64_t loads) {
  const int64_t lines = bytes / LINE;
  if (lines < 2 || loads < 1) bench_fail("chase: expected at least two cache lines and a load");
  void** memory = make_cycle(lines);
  void** volatile end = follow(memory, lines); /* fills the cache */
  const int64_t start = bench_now_ns();
  end = follow(end, loads);
  const int64_t spent = bench_now_ns() - start;
  free(memory);
  return spent;
}

typedef uint64_t vector __attribute__((vector_size(32)));

#if defined(__x86_64__)
__attribute__((target_clones("avx2", "default")))
#endif
static uint64_t
sum(const vector* from, int64_t count) {
  vector sums[4] = {{0}, {0}, {0}, {0}};
  for (int64_t i = 0; i + 4 <= count; i += 4) {
    for (int k = 0; k < 4; ++k) sums[k] += from[i + k];
  }
  const vector all = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  return all[0] + all[1] + all[2] + all[3];
}

int64_t bench_time_stream(int64_t bytes, int64_t repeats) {
  const int64_t count = bytes / (int64_t)sizeof(vector);
  if (count < 4 || repeats < 1) bench_fail("stream: expected at least 128 bytes and a repeat");
  vector* memory = bench_alloc((size_t)bytes);
  volatile uint64_t total = sum(memory, count); /* fills the cache */
  const int64_t start = bench_now_ns();
  for (int64_t i = 0; i < repeats; ++i) total += sum(memory, count);
  const int64_t spent = bench_now_ns() - start;
  free(memory);
  return spent;
}
