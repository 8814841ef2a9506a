// The interface between a call and the engine that runs its model. An execution context owns the
// tensors of one call, and makes its runs, one at a time. Every engine derives from
// InProcessContext (engines/in_process) or from OutOfProcessContext (engines/out_of_process), which
// start, await and end runs.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "clock.h"
#include "error.h"
#include "platform.h"
#include "run_times.h"
#include "shapes.h"

namespace sidecall {

// How the execution of a run ended. Failures are thrown instead.
enum class Outcome { kDone, kInterrupted };

constexpr uint64_t kMaxKeptText = 65536;

// A tensor after a run. `data` is nullptr for strings.
struct OutputTensor {
  Dims dims;
  void* data = nullptr;
};

// Judges the results of each run that completes. Implemented by Call.
class ResultCheck {
 public:
  // Called on the thread that completed the run, while no other run can begin. Returns the error of
  // the run, or nullptr.
  virtual std::exception_ptr check_results() noexcept = 0;

  // Called on the owner's thread if a run completed although the owner had already received TIMEOUT
  // or CANCELLED for it.
  virtual void discard_results() noexcept = 0;

 protected:
  ~ResultCheck() = default;
};

// Is told that a run that it awaits may have made progress. Implemented by QueuedRun.
class RunListener {
 public:
  // Called on any thread, sometimes without progress. Must be quick, and must not call the context.
  virtual void on_progress() noexcept = 0;

 protected:
  ~RunListener() = default;
};

// What has_news() looks at; each value includes the ones before it. All but kWords need system
// calls.
enum class Look {
  kWords,        // words in shared memory
  kConnections,  // connections that are being made
  kAll,          // whether the other process lives
};

// Made by an engine for one call. Used by one thread at a time, except for cancel().
class ExecutionContext {
 public:
  virtual ~ExecutionContext() = default;
  void set_result_check(ResultCheck* check) noexcept { check_ = check; }
  // From now on, runs that threads of the pool execute are timed, and noted in `times` as runs of
  // this size.
  void set_run_times(RunTimes* times, int64_t size) noexcept { times_ = times, size_ = size; }

  // ---- Tensors ----

  // Allocates memory for an input; the context owns it. The memory is aligned, and new memory is
  // zeroed. Strings become empty. Keeps the present memory if it is large enough.
  virtual void allocate_input(int32_t input, const Dims& dims) = 0;
  virtual void* input_data(int32_t input) = 0;  // nullptr for strings
  virtual void set_string(int32_t input, int64_t element, std::string_view value) = 0;

  // Lets an input use the caller's memory, until the next allocate_input() or borrow_input().
  virtual void borrow_input(int32_t input, const void* data, const Dims& dims) = 0;

  // Sets the shape of an output. `dims` is nullptr if the shape is known only after a run. `data`
  // is the caller's memory, or nullptr for memory of the context. Returns the address to which the
  // engine will write; nullptr for strings and unknown shapes. The first calls, one for each
  // output, come in the order of the signature.
  virtual void* shape_output(int32_t output, const Dims* dims, void* data) = 0;

  // Returns an array with one entry per row. Each following run sets every entry to 0, or to the
  // number of the step that refuses the row (see Engine::expect_refusals()). Returns nullptr if
  // another process checks for refusals.
  virtual const int64_t* shape_refusals(int64_t /*rows*/) { return nullptr; }

  // Whether all tensors of the call lie in one block of memory, whose size depends on all shapes.
  // If so, expect() must be called before allocate_input() changes a shape, and outputs may lie at
  // other addresses after each run. This function always returns the same value.
  virtual bool has_joint_layout() const noexcept { return false; }

  // Announces the shapes that inputs and outputs are going to have (nullopt: known only after a
  // run). One or more calls of allocate_input() follow; the final shapes may still differ. The
  // announcement lets the context request its memory once, in the right size.
  virtual void expect(const std::vector<Dims>& /*inputs*/,
                      const std::vector<std::optional<Dims>>& /*outputs*/) {}

  // After a successful run, with a joint layout only: the address of an output of known shape;
  // nullptr for strings.
  virtual void* placed_output(int32_t /*output*/) { return nullptr; }

  // Between runs: gives the connection to the other process back for use by other calls, unless
  // inputs of this call lie in its memory. Without `keeps_results`, the results of the last run are
  // lost. With `keeps_results` they stay readable, and if they are large, this call keeps the
  // connection.
  virtual void lend_connection(bool /*keeps_results*/) noexcept {}

  // Only after a successful run. output() is for outputs whose shape was unknown.
  virtual OutputTensor output(int32_t output) = 0;
  // The engine may keep up to kMaxKeptText bytes of strings of earlier runs.
  virtual void read_strings(int32_t output, std::string* bytes, std::vector<int64_t>* offsets) = 0;

  // The memory that the context keeps between runs, besides inputs, outputs and a fixed part for
  // the model. Call it only after a run.
  virtual uint64_t working_bytes() const noexcept { return 0; }

  // Whether an output's memory may be read but not written.
  virtual bool is_read_only(int32_t /*output*/) const { return false; }

  // ---- Runs ----
  // claim() reserves the context, the owner checks its inputs, and then either run() or release()
  // follows. run() throws the errors of the run: ENGINE, OUT_OF_MEMORY, those of the connection to
  // another process, and TIMEOUT and CANCELLED for a run that was ended early. timeout_ns is more
  // than 0, or -1 for the default of the engine.

  // Throws BUSY while the context is reserved for another run, or while the engine of this process
  // still uses the memory of a run that was given up.
  void claim();
  void release() noexcept { leave(); }

  // Runs, and returns when the results are there.
  void run(int64_t timeout_ns);

  // ---- Runs in a queue (queue.h) ----
  // A run is given up if take_outcome() throws TIMEOUT or CANCELLED before the engine has ended it.
  // The engine of this process may then still use the memory of the run. A run in another process
  // that is given up leaves the context idle, because the next run gets another connection.

  // Like claim(), and keeps the context reserved until unreserve(), also after the run.
  void reserve();
  void unreserve() noexcept;
  // Whether a run that was started uses the memory of the call.
  bool holds_memory() noexcept { return is_pending(); }

  // Starts the run without waiting for another process. From then on, and until the next run, the
  // listener is called when take_outcome() may return true or throw, which includes a passed
  // deadline, and when the memory of a run that was given up is free. `line`: runs with the same
  // `line` begin in the order in which they were submitted. If this function throws, the context is
  // released.
  virtual void submit(int64_t timeout_ns, RunListener* listener, const void* line) = 0;
  // Takes the outcome of the run, once: returns true, or throws the errors that run() throws.
  // Returns false while there is no outcome. Never blocks.
  virtual bool take_outcome() = 0;
  // When this function has returned, the listener is not called any more.
  virtual void stop_listening() noexcept = 0;
  // The timeout of a run with the timeout -1; -1 if there is none.
  virtual int64_t default_timeout_ns() const noexcept { return -1; }

  // Whether the queue must call has_news(), because the listener is not called.
  virtual bool is_polled() const noexcept { return false; }
  // Of a polled run that is under way: whether its connection is still being made.
  virtual bool is_connecting() const noexcept { return false; }
  // Of a polled run that is under way: whether take_outcome() may return true, or has something to
  // do.
  virtual bool has_news(Look /*look*/, Clock::time_point /*now*/) noexcept { return true; }
  // Of a polled run that is under way: from now on, the other process wakes `set` when it answers.
  // `number` identifies the queue within this process. Returns the latest time at which has_news()
  // must be called again; a time in the past means now. Throws OUT_OF_MEMORY.
  virtual Clock::time_point prepare_sleep(const platform::WaitSet& /*set*/, uint64_t /*number*/) {
    return Clock::time_point::min();
  }

  // Whether the context is reserved for a run, or the memory of a run that was given up is still in
  // use. Never blocks.
  bool is_busy() noexcept;
  void require_idle() {  // throws BUSY
    if (was_started() || phase_.load(std::memory_order_acquire) != kIdle) throw_if_busy();
  }
  // May be called from any thread. Ends the run with CANCELLED, unless it completes first.
  void cancel() noexcept { interrupt(Reason::kCancelled); }

  // Cancels a started run on which a thread of this process still works, and returns true. When the
  // run has ended, its thread calls `dispose(owner)`, which destroys the owner and this context.
  // Returns false if no thread of this process works on a run.
  virtual bool leave_to_worker(void (*)(void*) /*dispose*/, void* /*owner*/) noexcept {
    return false;
  }

  // Must be called before the context is destroyed, while its owner still exists: cancels a run on
  // which a thread of this process works, and waits for that thread.
  virtual void end_runs() noexcept {}

 protected:
  enum class Reason { kNone, kTimedOut, kCancelled };

  // ---- What each engine implements ----

  // Executes the model once on the bound tensors. timeout_ns matters only where no thread of this
  // process watches deadlines.
  virtual Outcome execute(int64_t timeout_ns) = 0;
  // Asks execute() to end early with kInterrupted. May be called from any thread during a run; the
  // request stays set until rearm().
  virtual void interrupt_engine() noexcept = 0;
  virtual void rearm() noexcept = 0;

  // ---- What the two kinds of contexts implement ----

  // Called before and after a synchronous run: arm() lets its deadline be watched until disarm().
  virtual void arm(int64_t /*timeout_ns*/) {}
  virtual void disarm() noexcept {}
  // Called by interrupt(): lets take_outcome() report the outcome before the run has ended.
  virtual void release_waiter(Reason /*reason*/) noexcept {}
  // For a started run: whether its outcome was taken and its memory is free.
  virtual bool has_ended() noexcept = 0;
  // In a child of fork(): forgets the copy of the parent's run. False if memory is exhausted.
  virtual bool forget_run() noexcept = 0;

  // ---- What both kinds share ----

  static Error ended_early(Reason reason);
  // Ends the run and returns why it was interrupted, if it was.
  Reason leave() noexcept;
  void interrupt(Reason reason) noexcept;
  bool is_interrupted() const noexcept {
    return phase_.load(std::memory_order_acquire) != kRunning;
  }
  std::exception_ptr execute_claimed(int64_t timeout_ns) noexcept;
  std::exception_ptr execute_timed() noexcept;  // without a timeout; notes how long it took
  std::exception_ptr check_results() noexcept {
    return check_ == nullptr ? nullptr : check_->check_results();
  }
  void discard_results() noexcept {
    if (check_ != nullptr) check_->discard_results();
  }
  void set_pending() noexcept;
  void clear_pending() noexcept { is_pending_.store(false, std::memory_order_relaxed); }
  bool is_pending() noexcept { return was_started() && is_still_pending(); }
  // May be called from any thread: whether a run was started.
  bool was_started() const noexcept { return is_pending_.load(std::memory_order_relaxed); }

 private:
  bool is_still_pending() noexcept;
  bool is_idle() noexcept;
  void end_reservation() noexcept;
  void throw_if_busy();

  // The owner changes kIdle to kRunning. The thread that ends a run early changes kRunning to
  // kInterrupting and then to kInterrupted. At the end of the run the owner or a worker thread
  // changes kRunning or kInterrupted to kIdle.
  // Between reserve() and unreserve(), kReserved stands for kIdle.
  enum Phase : int { kIdle, kRunning, kInterrupting, kInterrupted, kReserved };
  std::atomic<int> phase_{kIdle};
  // What follows a run. Partners: unreserve() stores kIdle here and then loads phase_; leave()
  // stores phase_ and then loads this. All are seq_cst, so one of the two sees the other.
  std::atomic<int> idle_phase_{kIdle};
  // Written while the phase is kInterrupting; leave() reads it after it has seen kInterrupted.
  Reason reason_ = Reason::kNone;
  // True if a run was started, and its outcome was not taken or its memory is still in use.
  std::atomic<bool> is_pending_{false};
  uint64_t generation_ = 0;  // the fork generation in which the run was started
  ResultCheck* check_ = nullptr;
  RunTimes* times_ = nullptr;
  int64_t size_ = 0;
};

}  // namespace sidecall
