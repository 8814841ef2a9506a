/* The helpers that peer.h declares. */
#include "peer.h"

#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void peer_fail(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("error ", stdout);
  vprintf(format, arguments);
  puts("");
  va_end(arguments);
  exit(1);
}

void* peer_alloc(size_t bytes) {
  const size_t rounded = (bytes / 64 + 1) * 64;
  void* memory = aligned_alloc(64, rounded);
  if (memory == NULL) peer_fail("out of memory");
  return memset(memory, 0, rounded);
}

int64_t peer_now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void peer_pin(int cpu) {
  if (cpu < 0) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET((size_t)cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) peer_fail("cannot run on CPU %d", cpu);
}

void peer_answer(const int64_t* numbers, int64_t num_numbers, const double* answers,
                 int64_t num_answers) {
  printf("ok %ld %ld\n", num_numbers, num_answers);
  if (num_numbers > 0) fwrite(numbers, sizeof *numbers, (size_t)num_numbers, stdout);
  if (num_answers > 0) fwrite(answers, sizeof *answers, (size_t)num_answers, stdout);
  fflush(stdout);
}
