/* A typical user program with a canary behind each struct that it allocates: a library built with a
 * newer header must not write there.
 *
 * Usage: caller MODELS ADDRESS, where MODELS is the folder of the test models and ADDRESS a free
 * shm: address. */
#include <sidecall/server.h>
#include <stdio.h>
#include <string.h>

#define CHECK(condition)                                     \
  do {                                                       \
    if (!(condition)) {                                      \
      printf("%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      return 1;                                              \
    }                                                        \
  } while (0)

#define GUARDED(type)          \
  struct {                     \
    type it;                   \
    unsigned char canary[256]; \
  }

static struct {
  GUARDED(sidecall_error) err;
  GUARDED(sidecall_model_options) options;
  GUARDED(sidecall_view) in, out;
  GUARDED(sidecall_server_options) server_options;
  GUARDED(sidecall_service) service;
  GUARDED(sidecall_log_lines) lines;
} mine;

static int is_intact(const unsigned char* canary) {
  int i;
  for (i = 0; i < 256; ++i)
    if (canary[i] != 0xa5) return 0;
  return 1;
}

static sidecall_status twice(void* context, sidecall_request* request) {
  GUARDED(sidecall_view) in, out;
  sidecall_status status;
  uint64_t i;
  (void)context;
  memset(&in, 0xa5, sizeof in);
  memset(&out, 0xa5, sizeof out);
  sidecall_view_init(&in.it);
  sidecall_view_init(&out.it);
  status = sidecall_request_input(request, 0, &in.it, NULL);
  if (status == SIDECALL_OK)
    status = sidecall_request_output(request, 0, in.it.dims, in.it.rank, &out.it, NULL);
  if (status != SIDECALL_OK) return status;
  if (!is_intact(in.canary) || !is_intact(out.canary)) return SIDECALL_INTERNAL;
  for (i = 0; i < in.it.data_bytes / sizeof(float); ++i)
    ((float*)out.it.data)[i] = 2 * ((const float*)in.it.data)[i];
  return SIDECALL_OK;
}

/* Runs a model that has one float32 input on {1, 2} and checks its answer. */
static int use(const char* uri, float first, float second) {
  static const int64_t dims[] = {1, 2};
  static float x[] = {1, 2};
  sidecall_error* err = &mine.err.it;
  sidecall_model* model = NULL;
  sidecall_call* call = NULL;
  CHECK(sidecall_model_open(uri, &mine.options.it, &model, err) == SIDECALL_OK);
  CHECK(sidecall_call_open(model, 1, &call, err) == SIDECALL_OK);
  sidecall_view_init(&mine.in.it);
  mine.in.it.dtype = SIDECALL_DTYPE_FLOAT32;
  mine.in.it.rank = 2;
  mine.in.it.dims = dims;
  mine.in.it.data = x;
  mine.in.it.data_bytes = sizeof x;
  CHECK(sidecall_call_copy_input(call, 0, &mine.in.it, err) == SIDECALL_OK);
  CHECK(sidecall_call_run(call, -1, err) == SIDECALL_OK);
  sidecall_view_init(&mine.out.it);
  CHECK(sidecall_call_output(call, 0, &mine.out.it, err) == SIDECALL_OK);
  CHECK(((const float*)mine.out.it.data)[0] == first &&
        ((const float*)mine.out.it.data)[1] == second);
  CHECK(sidecall_call_input(call, 9, &mine.in.it, err) == SIDECALL_INVALID_ARGUMENT);
  CHECK(err->status == SIDECALL_INVALID_ARGUMENT && err->row == -1 && strlen(err->message) > 0);
  sidecall_call_close(call);
  sidecall_model_close(model);
  return 0;
}

int main(int argc, char** argv) {
  static const char signature[] =
      "{\"inputs\":[{\"name\":\"x\",\"dtype\":\"float32\",\"dims\":[-1,2],\"dim_names\":[\"N\","
      "\"\"]}],"
      "\"outputs\":[{\"name\":\"y\",\"dtype\":\"float32\",\"dims\":[-1,2],\"dim_names\":[\"N\","
      "\"\"]}]}";
  sidecall_server* server = NULL;
  char path[4096];
  CHECK(argc == 3);
  CHECK(sidecall_abi_version() >= SIDECALL_ABI_VERSION);
  memset(&mine, 0xa5, sizeof mine);
  sidecall_error_init(&mine.err.it);
  sidecall_model_options_init(&mine.options.it);
  sidecall_server_options_init(&mine.server_options.it);
  sidecall_service_init(&mine.service.it);
  sidecall_log_lines_init(&mine.lines.it);
  mine.lines.it.least_level = 3;
  mine.server_options.it.log = &mine.lines.it;
  mine.service.it.signature = signature;
  mine.service.it.signature_length = sizeof signature - 1;
  mine.service.it.handler = twice;
  snprintf(path, sizeof path, "%s/add.onnx", argv[1]);
  if (use(path, 11, 22) != 0) return 1;
  CHECK(sidecall_server_open_service(argv[2], &mine.service.it, SIDECALL_VERIFY_ERROR,
                                     &mine.server_options.it, &server,
                                     &mine.err.it) == SIDECALL_OK);
  if (use(argv[2], 2, 4) != 0) return 1;
  sidecall_server_close(server);
  CHECK(is_intact(mine.err.canary) && is_intact(mine.options.canary) && is_intact(mine.in.canary) &&
        is_intact(mine.out.canary));
  CHECK(is_intact(mine.server_options.canary) && is_intact(mine.service.canary) &&
        is_intact(mine.lines.canary));
  printf("ok\n");
  return 0;
}
