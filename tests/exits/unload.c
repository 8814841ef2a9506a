/* Loads libsidecall as a plugin host would, lets it start its threads and unloads it. The code that
 * the threads run must stay mapped.
 *
 * Usage: unload LIBRARY SLOW_MODEL */
#include <dlfcn.h>
#include <sidecall/sidecall.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FIND(name)                             \
  __typeof__(&name) own_##name;                \
  do {                                         \
    void* found = dlsym(library, #name);       \
    memcpy(&own_##name, &found, sizeof found); \
  } while (0)

int main(int argc, char** argv) {
  void* library = argc == 3 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
  if (library == NULL) return fprintf(stderr, "expected a library and a model\n"), 1;
  FIND(sidecall_model_open);
  FIND(sidecall_model_close);
  FIND(sidecall_call_open);
  FIND(sidecall_call_copy_input);
  FIND(sidecall_queue_open);
  FIND(sidecall_queue_submit);
  FIND(sidecall_queue_take);
  FIND(sidecall_queue_close);
  FIND(sidecall_call_close);

  sidecall_error err = SIDECALL_ERROR_INIT;
  sidecall_model* model;
  sidecall_call* call;
  sidecall_queue* queue;
  sidecall_completion done;
  int64_t num_done;
  float x[2] = {1, 2};
  int64_t dims = 2, rounds = 1;
  sidecall_view values = {sizeof values, SIDECALL_DTYPE_FLOAT32, 1, 0, &dims, x, sizeof x, NULL};
  sidecall_view count = {sizeof count, SIDECALL_DTYPE_INT64, 0,   0, NULL,
                         &rounds,      sizeof rounds,        NULL};
  if (own_sidecall_model_open(argv[2], NULL, &model, &err) ||
      own_sidecall_call_open(model, 1, &call, &err) ||
      own_sidecall_call_copy_input(call, 0, &values, &err) ||
      own_sidecall_call_copy_input(call, 1, &count, &err) ||
      own_sidecall_queue_open(NULL, &queue, &err) ||
      own_sidecall_queue_submit(queue, call, 100 * 1000 * 1000, 0, NULL, &err) ||
      own_sidecall_queue_take(queue, 0, &done, sizeof done, 1, -1, &num_done, &err))
    return fprintf(stderr, "%s\n", err.message), 1;
  own_sidecall_queue_close(queue);
  own_sidecall_call_close(call);
  own_sidecall_model_close(model);
  if (dlclose(library) != 0) return fprintf(stderr, "%s\n", dlerror()), 1;
  usleep(300 * 1000); /* long enough for the deadline thread to wake at the deadline of the run */
  return 0;
}
