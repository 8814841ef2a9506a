// An execution context whose runs are executed by another process. No thread of this process works
// on such a run or watches its deadline: the functions that wait or look notice that the deadline
// has passed. This is the base class of the contexts in engines/shm and engines/oip.
#pragma once

#include <cstdint>

#include "core/execution_context.h"

namespace sidecall {

// The deadline of opening a model in another process, and of a run without one.
constexpr int64_t kDefaultTimeoutNs = INT64_C(30) * 1000 * 1000 * 1000;

// The progress of a run in another process.
enum class Progress { kPending, kDone, kInterrupted };

class OutOfProcessContext : public ExecutionContext {
 public:
  void submit(int64_t timeout_ns, RunListener* listener, const void* line) override;
  void stop_listening() noexcept override { listener_ = nullptr; }
  int64_t default_timeout_ns() const noexcept override { return kDefaultTimeoutNs; }
  bool take_outcome() override;
  bool has_joint_layout() const noexcept override { return true; }

 protected:
  // ---- What each engine implements ----

  // Sends the inputs without waiting, and returns kPending. Returns kInterrupted if
  // interrupt_engine() was called before anything was sent.
  virtual Progress begin(int64_t timeout_ns) = 0;

  // Gives up the connection of a run whose outcome was taken early, so that the context is free.
  // Does nothing if the peer does not use memory of the run.
  virtual void give_up_connection() noexcept {}

  // Whether the run is over (kDone), or its deadline passed or interrupt_engine() was called
  // (kInterrupted). An answer that has arrived takes precedence over both. Once the run is over,
  // further calls return the same until the next begin().
  virtual Progress look() = 0;

  // Must be called once after kDone: makes the outputs readable, or throws the error of the run.
  virtual void take() = 0;

  bool has_ended() noexcept override { return false; }  // its outcome is taken at once
  bool forget_run() noexcept override { return true; }

  // Of a run in a queue; otherwise nullptr.
  RunListener* listener() const noexcept { return listener_; }

 private:
  RunListener* listener_ = nullptr;
};

}  // namespace sidecall
