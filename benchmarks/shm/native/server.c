/* bench-shm-server KIND ADDRESS: sidecall's channel with almost no work behind it, until stdin
 * ends.
 *
 *   echo     returns the row's first value and its last two
 *   scalar   X of any length; reads its first element and returns it
 *   copy     X of any length; returns all of it
 *   socket   no channel: a listening socket, whose clients get back what they send, one after the
 *            other */
#include <sidecall/server.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "peer.h"

static sidecall_status echo(void* context, sidecall_request* request) {
  (void)context;
  static const int64_t dims[2] = {1, PEER_ANSWER};
  sidecall_view in = SIDECALL_VIEW_INIT, out = SIDECALL_VIEW_INIT;
  sidecall_status status = sidecall_request_input(request, 0, &in, NULL);
  if (status == SIDECALL_OK) status = sidecall_request_output(request, 0, dims, 2, &out, NULL);
  if (status != SIDECALL_OK) return status;
  const float* row = in.data;
  float* answer = out.data;
  answer[0] = row[0];
  answer[1] = row[PEER_ROW - 2];
  answer[2] = row[PEER_ROW - 1];
  return SIDECALL_OK;
}

static sidecall_status scalar(void* context, sidecall_request* request) {
  (void)context;
  static const int64_t dims[1] = {1};
  sidecall_view in = SIDECALL_VIEW_INIT, out = SIDECALL_VIEW_INIT;
  sidecall_status status = sidecall_request_input(request, 0, &in, NULL);
  if (status == SIDECALL_OK) status = sidecall_request_output(request, 0, dims, 1, &out, NULL);
  if (status == SIDECALL_OK) *(float*)out.data = *(const float*)in.data;
  return status;
}

static sidecall_status copy(void* context, sidecall_request* request) {
  (void)context;
  sidecall_view in = SIDECALL_VIEW_INIT, out = SIDECALL_VIEW_INIT;
  sidecall_status status = sidecall_request_input(request, 0, &in, NULL);
  if (status == SIDECALL_OK)
    status = sidecall_request_output(request, 0, in.dims, in.rank, &out, NULL);
  if (status == SIDECALL_OK) memcpy(out.data, in.data, in.data_bytes);
  return status;
}

static const struct {
  const char* name;
  const char* signature;
  sidecall_handler handler;
} kinds[] = {
    {"echo",
     "{\"inputs\":[{\"name\":\"X\",\"dtype\":\"float32\",\"dims\":[-1,30],\"dim_names\":[\"N\","
     "\"\"]}],"
     "\"outputs\":[{\"name\":\"Y\",\"dtype\":\"float32\",\"dims\":[-1,3],\"dim_names\":[\"N\",\"\"]"
     "}]}",
     echo},
    {"scalar",
     "{\"inputs\":[{\"name\":\"X\",\"dtype\":\"float32\",\"dims\":[-1],\"dim_names\":[\"N\"]}],"
     "\"outputs\":[{\"name\":\"Y\",\"dtype\":\"float32\",\"dims\":[1],\"dim_names\":[\"\"]}]}",
     scalar},
    {"copy",
     "{\"inputs\":[{\"name\":\"X\",\"dtype\":\"float32\",\"dims\":[-1],\"dim_names\":[\"N\"]}],"
     "\"outputs\":[{\"name\":\"Y\",\"dtype\":\"float32\",\"dims\":[-1],\"dim_names\":[\"N\"]}]}",
     copy},
};

static void be_ready(void) {
  puts("ready");
  fflush(stdout);
}

/* Ends with the signal that ends the process. */
static void serve_socket(const char* path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  const int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listening < 0 || bind(listening, (struct sockaddr*)&address, sizeof address) != 0 ||
      listen(listening, 8) != 0)
    peer_fail("cannot listen at %s", path);
  be_ready();
  for (;;) {
    char bytes[256];
    const int client = accept(listening, NULL, NULL);
    ssize_t count = 0;
    while ((count = read(client, bytes, sizeof bytes)) > 0) {
      if (write(client, bytes, (size_t)count) != count) break;
    }
    close(client);
  }
}

int main(int argc, char** argv) {
  if (argc == 3 && strcmp(argv[1], "socket") == 0) serve_socket(argv[2]);
  sidecall_error err = SIDECALL_ERROR_INIT;
  sidecall_service service;
  sidecall_service_init(&service);
  for (size_t i = 0; argc == 3 && i < sizeof kinds / sizeof *kinds; ++i) {
    if (strcmp(kinds[i].name, argv[1]) != 0) continue;
    service.signature = kinds[i].signature;
    service.signature_length = strlen(kinds[i].signature);
    service.handler = kinds[i].handler;
  }
  if (service.handler == NULL)
    peer_fail("expected bench-shm-server echo|scalar|copy|socket ADDRESS");
  struct rlimit limit = {0, 0};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit); /* two descriptors for each of a thousand clients */
  sidecall_server_options options;
  sidecall_server_options_init(&options);
  options.max_connections = options.max_connections_per_user = 4096;
  sidecall_server* server = NULL;
  if (sidecall_server_open_service(argv[2], &service, SIDECALL_VERIFY_ERROR, &options, &server,
                                   &err))
    peer_fail("%s", err.message);
  be_ready();
  while (getchar() != EOF) continue;
  sidecall_server_close(server);
  return 0;
}
