/* Reads a workload folder: shape.txt, features.f64 and records.jsonl. Used by main.c. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench.h"

void bench_fail(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("error ", stdout);
  vprintf(format, arguments);
  puts("");
  va_end(arguments);
  exit(1);
}

void* bench_alloc(size_t bytes) {
  const size_t rounded = (bytes / 64 + 1) * 64;
  void* memory = aligned_alloc(64, rounded);
  if (memory == NULL) bench_fail("out of memory");
  return memset(memory, 0, rounded);
}

char* bench_path(const char* folder, const char* name) {
  const size_t length = strlen(folder) + strlen(name) + 2;
  char* path = bench_alloc(length);
  snprintf(path, length, "%s/%s", folder, name);
  return path;
}

int64_t bench_now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

char* bench_read_file(const char* folder, const char* name, size_t* out_length) {
  char* path = bench_path(folder, name);
  FILE* file = fopen(path, "rb");
  if (file == NULL || fseek(file, 0, SEEK_END) != 0) bench_fail("cannot read '%s'", path);
  const long length = ftell(file);
  rewind(file);
  char* bytes = bench_alloc((size_t)length + 1);
  if (length < 0 || fread(bytes, 1, (size_t)length, file) != (size_t)length)
    bench_fail("cannot read '%s'", path);
  fclose(file);
  free(path);
  *out_length = (size_t)length;
  return bytes;
}

void bench_load_workload(bench_workload* workload, const char* folder, int64_t rows) {
  size_t length = 0;
  char* shape = bench_read_file(folder, "shape.txt", &length);
  int64_t available = 0;
  if (sscanf(shape, "%ld %ld %ld", &available, &workload->width, &workload->classes) != 3)
    bench_fail("shape.txt: expected three numbers");
  free(shape);
  if (rows < 1 || available < BENCH_RING + rows)
    bench_fail("expected %ld rows in the folder, got %ld", BENCH_RING + rows, available);
  workload->folder = strdup(folder);
  workload->rows = rows;
  workload->features = (const double*)(void*)bench_read_file(folder, "features.f64", &length);
  if (length != (size_t)(available * workload->width) * sizeof(double))
    bench_fail("features.f64: expected %ld rows", available);

  char* text = bench_read_file(folder, "records.jsonl", &length);
  workload->records = bench_alloc((size_t)available * sizeof(char*));
  workload->record_lengths = bench_alloc((size_t)available * sizeof(size_t));
  int64_t read = 0;
  workload->records[0] = text; /* bench_free_workload frees it, even if there is no line */
  for (char* end = strchr(text, '\n'); end != NULL && read < available; end = strchr(text, '\n')) {
    workload->records[read] = text;
    workload->record_lengths[read++] = (size_t)(end - text);
    text = end + 1;
  }
  workload->num_records = read;
}

void bench_free_workload(bench_workload* workload) {
  if (workload->folder == NULL) return;
  free((void*)(uintptr_t)workload->folder);
  free((void*)(uintptr_t)workload->features);
  free(workload->records[0]);
  free(workload->records);
  free(workload->record_lengths);
  workload->folder = NULL;
}
