/* Measures the time to open a model and the memory that remains after it closes; used by main.c. */
#include <sidecall/sidecall.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench.h"

static sidecall_model* open_model(const char* path) {
  sidecall_error err = SIDECALL_ERROR_INIT;
  sidecall_model* model = NULL;
  if (sidecall_model_open(path, NULL, &model, &err) != SIDECALL_OK)
    bench_fail("sidecall: %s", err.message);
  return model;
}

static int64_t time_sidecall(const char* path) {
  const int64_t start = bench_now_ns();
  sidecall_model* model = open_model(path);
  const int64_t spent = bench_now_ns() - start;
  sidecall_model_close(model);
  return spent;
}

static int64_t time_session(const char* path, int tuned) {
  const int64_t start = bench_now_ns();
  void* session = bench_raw_session_open(path, tuned);
  const int64_t spent = bench_now_ns() - start;
  bench_raw_session_close(session);
  return spent;
}

static int64_t time_way(int64_t way, const char* folder, int64_t file) {
  char name[64];
  snprintf(name, sizeof name, "variant-%ld.onnx", file);
  char* path = bench_path(folder, name);
  const int64_t spent = way == 0 ? time_sidecall(path) : time_session(path, way == 2);
  free(path);
  return spent;
}

/* The order of the three ways changes with each group of files. Before the times count, each of the
 * three ways opens the first file once, so that one-time initialisation is not measured. */
void bench_time_opening(const char* folder, int64_t count, int64_t at_once, int64_t* out_ns) {
  if (at_once < 1) bench_fail("opening: expected at least 1 file at once");
  for (int64_t way = 0; way < 3; ++way) time_way(way, folder, 0);
  for (int64_t begin = 0; begin < count; begin += at_once) {
    const int64_t end = begin + at_once < count ? begin + at_once : count;
    for (int64_t turn = 0; turn < 3; ++turn) {
      const int64_t way = (turn + begin / at_once) % 3;
      for (int64_t i = begin; i < end; ++i) out_ns[3 * i + way] = time_way(way, folder, i);
    }
  }
}

static int64_t resident_kib(void) {
  long total = 0, resident = 0;
  FILE* file = fopen("/proc/self/statm", "r");
  if (file == NULL || fscanf(file, "%ld %ld", &total, &resident) != 2)
    bench_fail("/proc/self/statm: expected two numbers");
  fclose(file);
  return (int64_t)resident * sysconf(_SC_PAGESIZE) / 1024;
}

int64_t bench_growth(const char* path, int64_t warm_up, int64_t count) {
  for (int64_t i = 0; i < warm_up; ++i) sidecall_model_close(open_model(path));
  const int64_t before = resident_kib();
  for (int64_t i = 0; i < count; ++i) sidecall_model_close(open_model(path));
  return resident_kib() - before;
}
