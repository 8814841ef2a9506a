/* bench-network-sleeper ADDRESS MILLISECONDS: serves a function that returns its number after a
 * while, one run at a time, like a model that needs the whole processor. balancing.py runs it. */
#include <pthread.h>
#include <sidecall/server.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The tensors of workloads/null.py. */
static const char signature[] =
    "{\"inputs\":[{\"name\":\"x\",\"dtype\":\"float32\",\"dims\":[-1,1],\"dim_names\":[\"N\",\"\"]}"
    "],"
    "\"outputs\":[{\"name\":\"y\",\"dtype\":\"float32\",\"dims\":[-1,1],\"dim_names\":[\"N\",\"\"]}"
    "]}";

static pthread_mutex_t one_run = PTHREAD_MUTEX_INITIALIZER;

static sidecall_status answer(void* context, sidecall_request* request) {
  sidecall_view in = SIDECALL_VIEW_INIT, out = SIDECALL_VIEW_INIT;
  sidecall_status status = sidecall_request_input(request, 0, &in, NULL);
  if (status == SIDECALL_OK)
    status = sidecall_request_output(request, 0, in.dims, in.rank, &out, NULL);
  if (status != SIDECALL_OK) return status;
  memcpy(out.data, in.data, in.data_bytes);
  pthread_mutex_lock(&one_run);
  nanosleep(context, NULL);
  pthread_mutex_unlock(&one_run);
  return SIDECALL_OK;
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  struct timespec pause = {0, atol(argv[2]) * 1000000};
  sidecall_service service;
  sidecall_service_init(&service);
  service.signature = signature;
  service.signature_length = sizeof signature - 1;
  service.handler = answer;
  service.context = &pause;
  sidecall_server* server = NULL;
  sidecall_error err = SIDECALL_ERROR_INIT;
  if (sidecall_server_open_service(argv[1], &service, SIDECALL_VERIFY_ERROR, NULL, &server, &err)) {
    fprintf(stderr, "bench-network-sleeper: %s\n", err.message);
    return 1;
  }
  puts("ready");
  fflush(stdout);
  for (;;) sleep(60); /* until a signal ends the process */
}
