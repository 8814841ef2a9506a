/* outcomes_client URI MODE ASKED...: makes one call for each number ASKED, and prints the name of
 * its outcome on a line. outcomes_server.c says what the numbers ask for, and outcomes.py has the
 * modes. outcomes_client.py and outcomes_client.js do the same. */
#include <poll.h>
#include <sidecall/sidecall.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const int64_t kLong = 10000000000, kShort = 20000000; /* nanoseconds */
static const int64_t kWait = 1000;                           /* as in outcomes_server.c */

static sidecall_queue* queue;

/* Waits for the run until its outcome is there. TIMEOUT: it did not come. */
static sidecall_status finish(uint64_t run, sidecall_error* err) {
  sidecall_completion done;
  int64_t count = 0;
  const sidecall_status status =
      sidecall_queue_take(queue, run, &done, sizeof done, 1, kLong, &count, err);
  return status != SIDECALL_OK ? status : count == 0 ? SIDECALL_TIMEOUT : done.status;
}

/* Opens a call and sets its inputs. The server has the input `asked`. The model file has the input
 * `n`, a number of rounds, with which a run takes long or not. */
static sidecall_call* open_call(sidecall_model* model, int64_t asked) {
  sidecall_error err = SIDECALL_ERROR_INIT;
  sidecall_view view = SIDECALL_VIEW_INIT;
  sidecall_call* call = NULL;
  if (sidecall_call_open(model, 1, &call, &err)) {
    fprintf(stderr, "%s\n", err.message);
    exit(1);
  }
  for (int32_t i = 0; i < sidecall_model_num_inputs(model); ++i) {
    sidecall_call_input(call, i, &view, NULL);
    memset(view.data, 0, view.data_bytes);
    if (strcmp(sidecall_model_input_spec(model, i)->name, "asked") == 0)
      *(int64_t*)view.data = asked;
    if (strcmp(sidecall_model_input_spec(model, i)->name, "n") == 0)
      *(int64_t*)view.data = asked == kWait ? 1000000000 : 0;
  }
  return call;
}

static sidecall_status outcome(sidecall_model* model, const char* mode, int64_t asked) {
  static const struct timespec moment = {0, 10000000};
  sidecall_error err = SIDECALL_ERROR_INIT;
  sidecall_call* call = open_call(model, asked);
  const int is_timed = strstr(mode, "timed-out") != NULL;
  sidecall_status status;
  uint64_t run = 0;
  if (strcmp(mode, "synchronous") == 0 || strcmp(mode, "timed-out") == 0) {
    status = sidecall_call_run(call, is_timed ? kShort : kLong, &err);
  } else {
    status = sidecall_queue_submit(queue, call, is_timed ? kShort : kLong, 0, &run, &err);
    if (status == SIDECALL_OK && strcmp(mode, "cancelled") == 0) {
      nanosleep(&moment, NULL);
      sidecall_queue_cancel(queue, run);
    }
    if (status == SIDECALL_OK && strcmp(mode, "abandoned") == 0) {
      nanosleep(&moment, NULL);
      sidecall_call_close(call);
      call = open_call(model, 0);
      status = sidecall_call_run(call, kLong, &err);
    } else if (status == SIDECALL_OK) {
      status = finish(run, &err);
    }
  }
  sidecall_call_close(call);
  return status;
}

int main(int argc, char** argv) {
  sidecall_error err = SIDECALL_ERROR_INIT;
  sidecall_model_options options;
  sidecall_model* model = NULL;
  sidecall_model_options_init(&options);
  options.allow_exec = 1;
  options.wait_ns = kLong;
  if (argc < 4 || sidecall_model_open(argv[1], &options, &model, &err) ||
      sidecall_queue_open(NULL, &queue, &err)) {
    fprintf(stderr, "%s\n", err.message);
    return 1;
  }
  for (int i = 3; i < argc; ++i)
    puts(sidecall_status_name(outcome(model, argv[2], atoll(argv[i]))));
  sidecall_queue_close(queue);
  sidecall_model_close(model);
  return 0;
}
