/* effects_server FILE ADDRESS...: serves a function that has an effect. For each element of its
 * input `id` it appends this number, as 8 bytes, to FILE, and then takes about a millisecond, or
 * half a second if the first number is negative; it answers with the same numbers. So FILE tells
 * which calls were executed, also after a SIGKILL.
 * Prints "ready". After SIGTERM it answers what has been sent, and ends with 0. Used by
 * test_effects.py and by benchmarks/network/rollout.py. */
#include <fcntl.h>
#include <sidecall/server.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "copy_input.h"

enum { MOST = 8 };

static int file = -1;

static sidecall_status answer(void* context, sidecall_request* request) {
  static const struct timespec kShort = {0, 1000000}, kLong = {0, 500000000};
  sidecall_view in = SIDECALL_VIEW_INIT, out = SIDECALL_VIEW_INIT;
  (void)context;
  const sidecall_status status = copy_input(request, &in, &out);
  if (status != SIDECALL_OK) return status;
  if (write(file, out.data, in.data_bytes) != (ssize_t)in.data_bytes) return SIDECALL_ENGINE;
  nanosleep(*(const int64_t*)out.data < 0 ? &kLong : &kShort, NULL);
  return SIDECALL_OK;
}

int main(int argc, char** argv) {
  static const char signature[] =
      "{\"inputs\":[{\"name\":\"id\",\"dtype\":\"int64\",\"dims\":[-1],\"dim_names\":[\"N\"]}],"
      "\"outputs\":[{\"name\":\"done\",\"dtype\":\"int64\",\"dims\":[-1],\"dim_names\":[\"N\"]}]}";
  static const int64_t patience = 5000000000;
  sidecall_error err = SIDECALL_ERROR_INIT;
  sidecall_server* servers[MOST] = {NULL};
  sidecall_server_options options;
  sidecall_service service;
  sigset_t end;
  int number = 0;
  sigemptyset(&end);
  sigaddset(&end, SIGTERM);
  sigprocmask(SIG_BLOCK, &end, NULL); /* before there are threads, which inherit it */
  if (argc < 3 || argc - 2 > MOST) return 1;
  file = open(argv[1], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (file == -1) return 1;
  sidecall_server_options_init(&options);
  options.num_threads = 2;
  sidecall_service_init(&service);
  service.signature = signature;
  service.signature_length = sizeof signature - 1;
  service.handler = answer;
  for (int i = 2; i < argc; ++i) {
    if (sidecall_server_open_service(argv[i], &service, SIDECALL_VERIFY_ERROR, &options,
                                     &servers[i - 2], &err)) {
      fprintf(stderr, "%s\n", err.message);
      return 1;
    }
  }
  puts("ready");
  fflush(stdout);
  sigwait(&end, &number);
  for (int i = 0; i < argc - 2; ++i) sidecall_server_drain(servers[i], patience, NULL);
  for (int i = 0; i < argc - 2; ++i) sidecall_server_close(servers[i]);
  return 0;
}
