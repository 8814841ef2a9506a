/* bench-file-only MODEL [report]: opens a file, runs it once with zeros, and ends. With `report` it
 * first writes its memory and what is mapped, as /proc has them. file_only.py runs it. */
#include <sidecall/sidecall.h>
#include <stdio.h>
#include <string.h>

static int fail(const sidecall_error* err) {
  fprintf(stderr, "bench-file-only: %s\n", err->message);
  return 1;
}

static void print(const char* path) {
  char line[4096];
  FILE* file = fopen(path, "r");
  while (file != NULL && fgets(line, sizeof line, file) != NULL) fputs(line, stdout);
  if (file != NULL) fclose(file);
}

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  sidecall_error err = SIDECALL_ERROR_INIT;
  sidecall_model* model = NULL;
  sidecall_call* call = NULL;
  sidecall_view input = SIDECALL_VIEW_INIT;
  if (sidecall_model_open(argv[1], NULL, &model, &err) ||
      sidecall_call_open(model, 1, &call, &err) || sidecall_call_input(call, 0, &input, &err))
    return fail(&err);
  memset(input.data, 0, input.data_bytes);
  if (sidecall_call_run(call, -1, &err)) return fail(&err);
  if (argc > 2) {
    print("/proc/self/smaps_rollup");
    print("/proc/self/maps");
  }
  sidecall_call_close(call);
  sidecall_model_close(model);
  return 0;
}
