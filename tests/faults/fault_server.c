/* server ADDRESS [MICROSECONDS]: doubles X, rows of four numbers, over the channel, and takes
 * MICROSECONDS per call. Prints "ready" and shuts down properly when its stdin is closed. The
 * server of the fault tests. */
#include <sidecall/server.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static sidecall_status twice(void* context, sidecall_request* request) {
  const struct timespec* pause = context;
  sidecall_view in = SIDECALL_VIEW_INIT, out = SIDECALL_VIEW_INIT;
  sidecall_status status = sidecall_request_input(request, 0, &in, NULL);
  if (status == SIDECALL_OK)
    status = sidecall_request_output(request, 0, in.dims, in.rank, &out, NULL);
  if (status != SIDECALL_OK) return status;
  if (pause->tv_nsec > 0) nanosleep(pause, NULL);
  for (uint64_t i = 0; i < in.data_bytes / sizeof(float); ++i)
    ((float*)out.data)[i] = 2 * ((const float*)in.data)[i];
  return SIDECALL_OK;
}

int main(int argc, char** argv) {
  static const char signature[] =
      "{\"inputs\":[{\"name\":\"X\",\"dtype\":\"float32\",\"dims\":[-1,4],\"dim_names\":[\"N\","
      "\"\"]}],"
      "\"outputs\":[{\"name\":\"Y\",\"dtype\":\"float32\",\"dims\":[-1,4],\"dim_names\":[\"N\","
      "\"\"]}]}";
  sidecall_error err = SIDECALL_ERROR_INIT;
  sidecall_server* server = NULL;
  struct timespec pause = {0, argc == 3 ? 1000 * atol(argv[2]) : 0};
  sidecall_service service;
  if (argc != 2 && argc != 3) return 2;
  sidecall_service_init(&service);
  service.signature = signature;
  service.signature_length = sizeof signature - 1;
  service.handler = twice;
  service.context = &pause;
  if (sidecall_server_open_service(argv[1], &service, SIDECALL_VERIFY_ERROR, NULL, &server, &err)) {
    fprintf(stderr, "%s\n", err.message);
    return 1;
  }
  puts("ready");
  fflush(stdout);
  while (getchar() != EOF) continue;
  sidecall_server_close(server);
  return 0;
}
