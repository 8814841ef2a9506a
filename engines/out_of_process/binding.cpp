// Starts and awaits runs in another process; see binding.h.
#include "binding.h"

namespace sidecall {

bool OutOfProcessBinding::start(int64_t timeout_ns, bool may_wait) {
  Progress progress = Progress::kInterrupted;
  try {
    if (!may_wait && !is_ready()) {
      leave();
      return false;
    }
    if (!is_interrupted()) progress = begin(timeout_ns);
  } catch (...) {
    leave();
    throw;
  }
  if (progress == Progress::kInterrupted) throw ended_early(leave());
  is_in_queue_ = false;
  set_pending();
  return true;
}

void OutOfProcessBinding::submit(int64_t timeout_ns, RunListener* listener, const void* /*line*/) {
  listener_ = listener;
  Progress progress = Progress::kInterrupted;
  try {
    if (!is_interrupted()) progress = begin_in_queue(timeout_ns);
  } catch (...) {
    stop_listening();
    leave();
    throw;
  }
  if (progress == Progress::kInterrupted) throw ended_early(leave());
  is_in_queue_ = true;
  set_pending();
}

bool OutOfProcessBinding::finish(int64_t wait_ns) {
  if (!is_pending()) {
    if (has_fd_) clear_fd();
    throw_nothing_to_finish();
  }
  if (is_given_up_) throw_nothing_to_finish();
  const Progress progress = await(wait_ns);
  if (progress == Progress::kPending) return false;
  if (progress == Progress::kInterrupted) {
    const Reason reason = leave();
    if (is_in_queue_) {
      give_up_connection();
      clear_pending();
      throw ended_early(reason);
    }
    is_given_up_ = true;
    // is_pending() is called for its side effect: it calls is_free(). If the peer still uses the
    // memory, is_free() asks the peer for a wake-up with the late answer. The wake-up makes the
    // descriptor readable.
    is_pending();
    throw ended_early(reason);
  }
  // A cancel after the answer has no effect, because the run was over. The binding remains in use
  // by this run until its answer has been read.
  std::exception_ptr failure;
  try {
    take();
    failure = check_results();
  } catch (...) {
    failure = std::current_exception();
  }
  leave();
  clear_pending();
  if (failure) std::rethrow_exception(failure);
  return true;
}

bool OutOfProcessBinding::is_settled() noexcept {
  if (!is_given_up_) return false;
  try {
    if (!is_free()) return false;
  } catch (...) {
    // The connection cannot be used any more, which the next run reports.
  }
  is_given_up_ = false;
  return true;
}

// The next run waits for the peer, within its own deadline.
void OutOfProcessBinding::settle(bool /*may_wait*/) {
  if (!is_given_up_) return;
  is_given_up_ = false;
  clear_pending();
}

bool OutOfProcessBinding::forget_run() noexcept {
  is_given_up_ = false;
  return true;
}

int OutOfProcessBinding::fd() {
  // The run that is under way would not be reported.
  if (!reports_every_run_) require_idle();
  const int fd = make_fd();
  has_fd_ = reports_every_run_ = true;
  return fd;
}

int OutOfProcessBinding::watch() {
  const int fd = make_fd();
  has_fd_ = true;
  // is_pending() would forget a run whose memory is free by now, and which was not reported.
  if (was_started() && !reports_every_run_) arm_fd();
  return fd;
}

}  // namespace sidecall
