// Runs of a call that happen in another process: started and finished by their owner alone, without a thread in between.
#include "call.h"

namespace sidecall {

void Call::start_remote(int64_t timeout_ns) {
  Progress progress = Progress::kInterrupted;
  try {
    prepare();
    if (phase_.load(std::memory_order_acquire) == kRunning) progress = remote_->begin(timeout_ns);
  } catch (...) {
    leave();
    throw;
  }
  if (progress == Progress::kInterrupted) throw ended_early(leave());
  pending_->process = platform::process_id();
  is_pending_.store(true, std::memory_order_relaxed);
}

// Waits for news of the pending run. kInterrupted gives it up; the other two leave it as it is.
Progress Call::look_remote(int64_t wait_ns) {
  const Progress progress = remote_->await(wait_ns);
  if (progress == Progress::kInterrupted) given_up_ = leave() == Reason::kCancelled ? Reason::kCancelled : Reason::kTimedOut;
  return progress;
}

void Call::finish_remote(int64_t wait_ns) {
  const Progress progress = given_up_ == Reason::kNone ? look_remote(wait_ns) : Progress::kInterrupted;
  if (progress == Progress::kPending) throw Error(SIDECALL_BUSY, "the run is not over yet");
  if (progress == Progress::kInterrupted) {
    const Reason reason = given_up_;
    if (remote_->is_free()) {
      given_up_ = Reason::kNone;
      is_pending_.store(false, std::memory_order_relaxed);
    }
    throw ended_early(reason);
  }
  // A cancel that came after the answer does nothing: the run was over.
  leave();
  is_pending_.store(false, std::memory_order_relaxed);
  remote_->take();
  has_results_ = true;
}

}  // namespace sidecall
