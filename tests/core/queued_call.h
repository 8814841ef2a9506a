// Starts and awaits the runs of one call in a queue, for tests of core and fuzzers.
#pragma once

#include <cstdint>
#include <memory>

#include "core/call/call.h"
#include "core/queue/queue.h"

namespace fake {

class QueuedCall {
 public:
  explicit QueuedCall(sidecall::Call* call) : run_(call, this) {}

  void start(int64_t timeout_ns) { number_ = queue_->submit(&run_, this, timeout_ns, 0); }

  // Takes a completion of the last run. Returns true or throws the error of the run; returns false
  // if none came in time. Throws NOT_RUN if none will come.
  bool finish(int64_t wait_ns) {
    if (queue_->take(number_, 1, wait_ns, put, this) == 0) return false;
    run_.rethrow_outcome();
    return true;
  }

  // As before the call is closed: its run, if one is under way, goes on without the queue.
  void detach() noexcept { run_.detach(); }

  // Whether the last completion said that the engine still uses the memory of the run.
  bool is_held() const noexcept { return (completion_.flags & sidecall::Completion::kHeld) != 0; }

 private:
  static void put(void* self, int64_t, const sidecall::Completion& completion) {
    static_cast<QueuedCall*>(self)->completion_ = completion;
  }

  std::shared_ptr<sidecall::Queue> queue_ =
      std::make_shared<sidecall::Queue>(sidecall::QueueOptions());
  sidecall::QueuedRun run_;
  sidecall::Completion completion_;
  uint64_t number_ = 0;
};

}  // namespace fake
