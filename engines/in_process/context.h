// An execution context whose runs are executed by threads of this process: by the caller's thread,
// or by a thread of the pool (core/queue/jobs.h). One thread watches the deadlines (deadline.h).
// This is the base class of the contexts of ONNX Runtime, of our own engine and of served
// functions.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>

#include "core/execution_context.h"
#include "core/queue/jobs.h"
#include "deadline.h"

namespace sidecall {

class InProcessContext : public ExecutionContext, private Watched, private Job {
 public:
  void submit(int64_t timeout_ns, RunListener* listener, const void* line) override;
  void stop_listening() noexcept override;
  bool take_outcome() override;
  bool leave_to_worker(void (*dispose)(void*), void* owner) noexcept override;
  void end_runs() noexcept override;

 protected:
  void arm(int64_t timeout_ns) override;
  void disarm() noexcept override { deadline_.reset(); }
  void release_waiter(Reason reason) noexcept override;
  bool has_ended() noexcept override;
  bool forget_run() noexcept override;

 private:
  // State of a started run that its owner and the worker thread share.
  struct Started {
    std::mutex mutex;
    std::condition_variable changed;
    bool is_done = false;  // the engine no longer uses the memory of the context
    // The owner received the outcome TIMEOUT or CANCELLED before the engine was done.
    bool is_taken = false;
    // Why the owner may receive the outcome of the run before the engine is done.
    Reason released = Reason::kNone;
    std::exception_ptr failure;
    RunListener* listener = nullptr;
    const void* line = nullptr;        // of a run in a queue; see submit_job()
    void (*dispose)(void*) = nullptr;  // destroys the owner; see leave_to_worker()
    void* owner = nullptr;
  };

  void notify_owner() noexcept;  // started_->mutex is locked
  void on_deadline() noexcept override;
  void work() noexcept override;

  std::optional<Deadline> deadline_;
  std::unique_ptr<Started> started_ = std::make_unique<Started>();
};

}  // namespace sidecall
