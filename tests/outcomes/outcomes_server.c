/* outcomes_server [ADDRESS]: serves a function that ends each request with the status that its
 * input asks for. There are two other inputs: 1000 waits until the client cancels the run or the
 * deadline passes, at most about 10 s, and 1001 kills this process. With ADDRESS the program prints
 * "ready" and ends when stdin is closed. Without ADDRESS it is the child process of an exec:
 * client. */
#include <poll.h>
#include <sidecall/server.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "copy_input.h"

enum { WAIT = 1000, DIE = 1001 };

static sidecall_status answer(void* context, sidecall_request* request) {
  static const struct timespec millisecond = {0, 1000000};
  sidecall_view in = SIDECALL_VIEW_INIT, out = SIDECALL_VIEW_INIT;
  (void)context;
  const sidecall_status status = copy_input(request, &in, &out);
  if (status != SIDECALL_OK) return status;
  const int64_t asked = *(const int64_t*)in.data;
  if (asked == DIE) kill(getpid(), SIGKILL);
  if (asked == WAIT) {
    for (int i = 0; i < 10000 && sidecall_request_remaining(request) != 0; ++i)
      nanosleep(&millisecond, NULL);
    return SIDECALL_TIMEOUT;
  }
  if (asked != 0)
    sidecall_request_fail(request, (sidecall_status)asked, -1, NULL, NULL, NULL, "as asked");
  return (sidecall_status)asked;
}

int main(int argc, char** argv) {
  static const char signature[] =
      "{\"inputs\":[{\"name\":\"asked\",\"dtype\":\"int64\",\"dims\":[-1],\"dim_names\":[\"N\"]}],"
      "\"outputs\":[{\"name\":\"echo\",\"dtype\":\"int64\",\"dims\":[-1],\"dim_names\":[\"N\"]}]}";
  sidecall_error err = SIDECALL_ERROR_INIT;
  sidecall_server* server = NULL;
  sidecall_service service;
  sidecall_service_init(&service);
  service.signature = signature;
  service.signature_length = sizeof signature - 1;
  service.handler = answer;
  if (sidecall_server_open_service(argc > 1 ? argv[1] : NULL, &service, SIDECALL_VERIFY_ERROR, NULL,
                                   &server, &err)) {
    fprintf(stderr, "%s\n", err.message);
    return 1;
  }
  if (argc > 1) {
    puts("ready");
    fflush(stdout);
    while (getchar() != EOF) continue;
  } else {
    struct pollfd end = {sidecall_server_fd(server), POLLIN, 0};
    poll(&end, 1, -1);
  }
  sidecall_server_close(server);
  return 0;
}
