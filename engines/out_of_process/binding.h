// A binding whose runs are executed by another process. No thread of this process works on such a
// run or watches its deadline: the waiting functions themselves return when the deadline passes.
// This is the base class of the binding in engines/remote.
#pragma once

#include <cstdint>

#include "core/binding.h"

namespace sidecall {

// The deadline of opening a model in another process, and of a run without one.
constexpr int64_t kDefaultTimeoutNs = INT64_C(30) * 1000 * 1000 * 1000;

// The progress of a run in another process.
enum class Progress { kPending, kDone, kInterrupted };

class OutOfProcessBinding : public Binding {
 public:
  bool start(int64_t timeout_ns, bool may_wait) override;
  void submit(int64_t timeout_ns, RunListener* listener, const void* line) override;
  void stop_listening() noexcept override { listener_ = nullptr; }
  int64_t default_timeout_ns() const noexcept override { return kDefaultTimeoutNs; }
  bool finish(int64_t wait_ns) override;
  int fd() override;
  int watch() override;
  bool has_joint_layout() const noexcept override { return true; }

 protected:
  // ---- What each engine implements ----

  // Sends the inputs and returns kPending. If the peer still works on a run that was given up,
  // waits for the peer first, within the timeout. Returns kInterrupted if the timeout passed, or
  // interrupt_engine() was called, before anything was sent.
  virtual Progress begin(int64_t timeout_ns) = 0;

  // The same for a queue: never waits.
  virtual Progress begin_in_queue(int64_t timeout_ns) = 0;

  // Gives up the connection of a run in a queue whose outcome was taken early, so that the binding
  // is free. Does nothing if the peer does not use memory of the run.
  virtual void give_up_connection() noexcept {}

  // Whether begin() would return without waiting for the peer, either to connect or because the
  // peer still works on an earlier run. Never blocks.
  virtual bool is_ready() = 0;

  // Waits until the run is over (kDone), its deadline passed or interrupt_engine() was called
  // (kInterrupted), or `wait_ns` passed (kPending). With wait_ns 0 it only checks; -1 sets no limit
  // of its own. An answer that has arrived takes precedence over the deadline and the interrupt.
  // Once the run is over, further calls return the same until the next begin().
  virtual Progress await(int64_t wait_ns) = 0;

  // Must be called once after kDone: makes the outputs readable, or throws the error of the run.
  virtual void take() = 0;

  // After kInterrupted: whether the peer no longer uses the memory of the run. Never blocks.
  virtual bool is_free() = 0;

  // A descriptor that becomes readable when the result of await(0) may have changed or, after a run
  // was given up, the result of is_free(). Calling either makes it unreadable again. The descriptor
  // stays the same during the life of the binding.
  virtual int make_fd() = 0;

  // During a run, or after one was given up: lets the descriptor report it. Until then make_fd()
  // has an effect on later runs only, and only if reports_every_run().
  virtual void arm_fd() = 0;

  // Only while no run is under way: makes the descriptor unreadable again if the peer sent a late
  // wake-up or ended.
  virtual void clear_fd() noexcept = 0;

  bool is_settled() noexcept override;
  void settle(bool may_wait) override;
  bool forget_run() noexcept override;

  // Whether the owner called fd(). If it only calls watch(), a run that is not watched makes no
  // system call for the descriptor.
  bool reports_every_run() const noexcept { return reports_every_run_; }

  // Of a run in a queue; otherwise nullptr.
  RunListener* listener() const noexcept { return listener_; }

 private:
  RunListener* listener_ = nullptr;
  bool is_in_queue_ = false;  // the run that is under way
  bool has_fd_ = false;
  bool reports_every_run_ = false;
  // The outcome of the started run was taken, although the peer may still use its memory.
  bool is_given_up_ = false;
};

}  // namespace sidecall
