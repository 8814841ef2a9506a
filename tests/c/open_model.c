/* Opens one model, or describes the engine, and prints the status and the message. Used by tests
 * that need a process and an environment of their own.
 *
 * Usage: open_model [--maps] MODEL | open_model --engine [ONNXRUNTIME]. --maps prints the mappings
 * of the process while the model is open. */
#include <sidecall/sidecall.h>
#include <stdio.h>
#include <string.h>

static void print_maps(void) {
  char line[4096];
  FILE* maps = fopen("/proc/self/maps", "r");
  while (maps != NULL && fgets(line, sizeof line, maps) != NULL) fputs(line, stdout);
  if (maps != NULL) fclose(maps);
}

int main(int argc, char** argv) {
  sidecall_error error = SIDECALL_ERROR_INIT;
  sidecall_model* model = NULL;
  sidecall_model_options options;
  sidecall_text* text = NULL;
  sidecall_status status;
  if (argc < 2) return 2;
  sidecall_model_options_init(&options);
  if (strcmp(argv[1], "--engine") == 0) {
    if (argc > 2) options.onnxruntime = argv[2];
    status = sidecall_engine_describe(&options, &text, &error);
    if (status == SIDECALL_OK) printf("%s\n", text->data);
    sidecall_text_close(text);
  } else {
    const int with_maps = strcmp(argv[1], "--maps") == 0;
    status = sidecall_model_open(argv[argc - 1], &options, &model, &error);
    if (with_maps) print_maps();
    sidecall_model_close(model);
  }
  printf("%s\n%s\n", sidecall_status_name(status), error.message);
  return 0;
}
