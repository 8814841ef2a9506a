/* Keeps several calls under way from one thread, which uses epoll and never waits for the model.
 *   ./event_loop penguins.onnx 1000     ./event_loop shm:penguins 1000 */
#include <sidecall/sidecall.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#define NUM_CALLS 4
#define TIMEOUT_NS 2000000000LL /* per question */

static sidecall_error error;
static const sidecall_model* model;
static sidecall_queue* queue;
static long num_questions, num_asked, num_over, num_answers;

/* Asks the next question, if there is one. */
static void ask(sidecall_call* call) {
  sidecall_status status = SIDECALL_INTERNAL;
  while (status != SIDECALL_OK && num_asked < num_questions) {
    ++num_asked;
    sidecall_call_clear(call, NULL);
    sidecall_call_set_str(call, 0, sidecall_model_feature(model, "island"), "Biscoe", 6, NULL);
    sidecall_call_set_f64(call, 0, sidecall_model_feature(model, "bill_length_mm"), 48.2, NULL);
    status = sidecall_queue_submit(queue, call, TIMEOUT_NS, 0, NULL, &error);
    if (status == SIDECALL_OK) return;
    ++num_over;
    fprintf(stderr, "%s\n", error.message);
  }
}

static void report(const sidecall_completion* one) {
  double gentoo;
  /* After SIDECALL_HELD the call is not free before SIDECALL_RELEASED. */
  if (one->flags != SIDECALL_RELEASED) ++num_over;
  if (sidecall_call_error(one->call, &error) != SIDECALL_OK) fprintf(stderr, "%s\n", error.message);
  else if (!sidecall_call_get_f64(
               one->call, 0, sidecall_model_column(model, "probabilities.Gentoo"), &gentoo, NULL))
    num_answers += gentoo > 0.5;
  if (one->flags != SIDECALL_HELD) ask(one->call);
}

/* Takes what is there. Returns for how many milliseconds the loop may sleep. */
static int take(void) {
  sidecall_completion done[NUM_CALLS];
  int64_t count, i, look_ns = 0;
  do {
    if (sidecall_queue_take(queue, 0, done, sizeof done[0], NUM_CALLS, 0, &count, &error)) abort();
    for (i = 0; i < count; ++i) report(&done[i]);
    if (sidecall_queue_arm(queue, &look_ns, &error)) abort();
  } while (look_ns == 0 && num_over < num_questions);
  return look_ns < 0 ? -1 : 0;
}

int main(int argc, char** argv) {
  sidecall_model_options options;
  sidecall_model* opened;
  sidecall_call* calls[NUM_CALLS];
  struct epoll_event event = {0};
  intptr_t handle;
  int i, epoll = epoll_create1(EPOLL_CLOEXEC);
  if (argc != 3) {
    fprintf(stderr, "usage: %s MODEL QUESTIONS\n", argv[0]);
    return 2;
  }
  sidecall_error_init(&error);
  sidecall_model_options_init(&options);
  options.wait_ns = 20000000000LL; /* for a server that is still starting, or that restarts */
  num_questions = atol(argv[2]);
  event.events = EPOLLIN;
  if (sidecall_model_open(argv[1], &options, &opened, &error) ||
      sidecall_queue_open(NULL, &queue, &error) || sidecall_queue_handle(queue, &handle, &error) ||
      epoll_ctl(epoll, EPOLL_CTL_ADD, (int)handle, &event)) {
    fprintf(stderr, "%s\n", error.message);
    return 1;
  }
  model = opened;
  for (i = 0; i < NUM_CALLS; ++i) {
    if (sidecall_call_open(model, 1, &calls[i], &error)) abort();
    ask(calls[i]);
  }
  while (num_over < num_questions) {
    const int sleep_ms = take();
    if (num_over < num_questions) epoll_wait(epoll, &event, 1, sleep_ms);
  }
  printf("%ld of %ld say Gentoo\n", num_answers, num_over);
  sidecall_queue_close(queue);
  for (i = 0; i < NUM_CALLS; ++i) sidecall_call_close(calls[i]);
  sidecall_model_close(opened);
  return 0;
}
