/* Keeps several calls in flight from one thread, which uses epoll and never waits for the model.
 *   ./event_loop penguins.onnx 1000     ./event_loop shm:penguins 1000 */
#include <pthread.h>
#include <sidecall/sidecall.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define NUM_CALLS 4
#define TIMEOUT_NS 2000000000LL /* per question */

/* One call, which the loop reuses. */
typedef struct {
  sidecall_call* call;
  int32_t fd;    /* stays registered with epoll, even when the call reconnects to another server */
  int is_asking; /* from the start of a run until the call may be used again */
  pthread_t starter;      /* owns the call while sidecall_call_start waits for another process */
  sidecall_status status; /* what sidecall_call_start returned on that thread */
  sidecall_error error;
} workspace;

typedef struct {
  int epoll;
  int started[2]; /* a pipe: the starter threads return their workspaces through it */
  const sidecall_model* model;
  workspace workspaces[NUM_CALLS];
  long num_questions, num_asked, num_over, num_answers;
} loop;

static void watch(const loop* self, workspace* one, uint32_t events) {
  struct epoll_event event = {0};
  event.events = events;
  event.data.ptr = one;
  epoll_ctl(self->epoll, EPOLL_CTL_MOD, one->fd, &event);
}

/* Counts the outcome of one question. */
static void report(loop* self, workspace* one, sidecall_status status) {
  ++self->num_over;
  if (status == SIDECALL_OK) {
    double gentoo;
    if (sidecall_call_get_f64(one->call, 0,
                              sidecall_model_column(self->model, "probabilities.Gentoo"), &gentoo,
                              NULL) == SIDECALL_OK)
      self->num_answers += gentoo > 0.5;
  } else {
    fprintf(stderr, "%s: %s\n", sidecall_status_name(status), one->error.message);
  }
}

/* Runs on a thread of its own, because it may have to wait for the server. */
static void* start(void* argument) {
  void** arguments = argument;
  loop* self = arguments[0];
  workspace* one = arguments[1];
  free(arguments);
  one->status = sidecall_call_start(one->call, TIMEOUT_NS, &one->error);
  if (write(self->started[1], &one, sizeof one) != sizeof one) abort();
  return NULL;
}

static void start_on_thread(loop* self, workspace* one) {
  void** arguments = malloc(2 * sizeof *arguments);
  if (arguments == NULL) abort();
  arguments[0] = self;
  arguments[1] = one;
  /* A call belongs to one thread at a time: the loop must not use the call before the starter
   * thread has returned the workspace. */
  watch(self, one, 0);
  if (pthread_create(&one->starter, NULL, start, arguments) != 0) abort();
}

/* Asks further questions until one is in flight or none is left. */
static void ask(loop* self, workspace* one) {
  one->is_asking = 0;
  while (!one->is_asking && self->num_asked < self->num_questions) {
    int32_t is_started = 0;
    sidecall_status status;
    ++self->num_asked;
    sidecall_call_clear(one->call, NULL);
    sidecall_call_set_str(one->call, 0, sidecall_model_feature(self->model, "island"), "Biscoe", 6,
                          NULL);
    sidecall_call_set_f64(one->call, 0, sidecall_model_feature(self->model, "bill_length_mm"), 48.2,
                          NULL);
    status = sidecall_call_try_start(one->call, TIMEOUT_NS, &is_started, &one->error);
    one->is_asking = status == SIDECALL_OK;
    if (status != SIDECALL_OK) report(self, one, status);
    else if (!is_started) start_on_thread(self, one);
  }
}

static void on_started(loop* self) {
  workspace* one;
  if (read(self->started[0], &one, sizeof one) != sizeof one) abort();
  pthread_join(one->starter, NULL);
  watch(self, one, EPOLLIN);
  if (one->status == SIDECALL_OK) return;
  report(self, one, one->status);
  ask(self, one);
}

static void on_readable(loop* self, workspace* one) {
  const sidecall_status status = sidecall_call_finish(one->call, 0, &one->error);
  if (status == SIDECALL_PENDING) return; /* no outcome yet: poll again */
  if (status != SIDECALL_NOT_RUN) report(self, one, status);
  /* After an early TIMEOUT the call's memory may still be in use. The descriptor becomes readable
   * when that memory is free. */
  if (one->is_asking && !sidecall_call_is_busy(one->call)) ask(self, one);
}

static int run(loop* self, sidecall_error* error) {
  struct epoll_event event = {0};
  int i;
  event.events = EPOLLIN;
  event.data.ptr = NULL;
  if (epoll_ctl(self->epoll, EPOLL_CTL_ADD, self->started[0], &event) != 0) return 1;
  for (i = 0; i < NUM_CALLS; ++i) {
    workspace* one = &self->workspaces[i];
    sidecall_error_init(&one->error);
    if (sidecall_call_open_lazy(self->model, 1, &one->call, error) ||
        sidecall_call_fd(one->call, &one->fd, error))
      return 1;
    event.data.ptr = one;
    if (epoll_ctl(self->epoll, EPOLL_CTL_ADD, one->fd, &event) != 0) return 1;
    ask(self, one);
  }
  while (self->num_over < self->num_questions) {
    struct epoll_event events[NUM_CALLS + 1];
    const int count = epoll_wait(self->epoll, events, NUM_CALLS + 1, -1);
    for (i = 0; i < count; ++i) {
      if (events[i].data.ptr == NULL) on_started(self);
      else on_readable(self, events[i].data.ptr);
    }
  }
  return 0;
}

int main(int argc, char** argv) {
  sidecall_error error = SIDECALL_ERROR_INIT;
  sidecall_model_options options;
  sidecall_model* model;
  loop self = {0};
  int result, i;
  if (argc != 3) {
    fprintf(stderr, "usage: %s MODEL QUESTIONS\n", argv[0]);
    return 2;
  }
  sidecall_model_options_init(&options);
  options.wait_ns = 20000000000LL; /* for a server that is still starting, or that restarts */
  self.num_questions = atol(argv[2]);
  self.epoll = epoll_create1(EPOLL_CLOEXEC);
  if (self.epoll < 0 || pipe(self.started) != 0) return 1;
  if (sidecall_model_open(argv[1], &options, &model, &error)) {
    fprintf(stderr, "%s\n", error.message);
    return 1;
  }
  self.model = model;
  result = run(&self, &error);
  if (result) fprintf(stderr, "%s\n", error.message);
  printf("%ld of %ld say Gentoo\n", self.num_answers, self.num_over);
  for (i = 0; i < NUM_CALLS; ++i) sidecall_call_close(self.workspaces[i].call);
  sidecall_model_close(model);
  return result;
}
