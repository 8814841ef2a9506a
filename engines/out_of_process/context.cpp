// Starts runs in another process, and takes their outcomes; see context.h.
#include "context.h"

namespace sidecall {

void OutOfProcessContext::submit(int64_t timeout_ns, RunListener* listener, const void* /*line*/) {
  listener_ = listener;
  Progress progress = Progress::kInterrupted;
  try {
    if (!is_interrupted()) progress = begin(timeout_ns);
  } catch (...) {
    stop_listening();
    leave();
    throw;
  }
  if (progress == Progress::kInterrupted) throw ended_early(leave());
  set_pending();
}

bool OutOfProcessContext::take_outcome() {
  const Progress progress = look();
  if (progress == Progress::kPending) return false;
  if (progress == Progress::kInterrupted) {
    const Reason reason = leave();
    give_up_connection();
    clear_pending();
    throw ended_early(reason);
  }
  // A cancel after the answer has no effect, because the run was over. The context remains in use
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

}  // namespace sidecall
