// The part of runs that all engines share: one run at a time, and its early end. The contexts in
// engines/in_process and engines/out_of_process derive from this class.
#include "execution_context.h"

#include <thread>

#include "base/process/fork_generation.h"

namespace sidecall {

namespace {

[[noreturn]] void throw_busy() {
  throw Error(SIDECALL_BUSY, "the call is running, or a run that it gave up still uses its memory");
}

}  // namespace

Error ExecutionContext::ended_early(Reason reason) {
  if (reason == Reason::kCancelled) return {SIDECALL_CANCELLED, "the run was cancelled"};
  return {SIDECALL_TIMEOUT, "the deadline passed before the run was over"};
}

void ExecutionContext::claim() {
  int idle = kIdle;
  if (is_pending() || !is_idle() ||
      !phase_.compare_exchange_strong(idle, kRunning, std::memory_order_acq_rel))
    throw_busy();
}

bool ExecutionContext::is_busy() noexcept { return is_pending() || !is_idle(); }

// A child of fork() does not have the queue that has reserved the context in the parent.
bool ExecutionContext::is_idle() noexcept {
  if (phase_.load(std::memory_order_acquire) == kIdle) return true;
  if (idle_phase_.load() == kIdle || generation_ == fork_generation()) return false;
  idle_phase_.store(kIdle);
  phase_.store(kIdle, std::memory_order_release);
  return true;
}

void ExecutionContext::reserve() {
  claim();
  idle_phase_.store(kReserved);
  generation_ = fork_generation();
}

// A run that is still under way leaves the context idle when it ends.
void ExecutionContext::unreserve() noexcept {
  idle_phase_.store(kIdle);
  end_reservation();
}

void ExecutionContext::end_reservation() noexcept {
  int reserved = kReserved;
  phase_.compare_exchange_strong(reserved, kIdle);
}

void ExecutionContext::throw_if_busy() {
  if (is_busy()) throw_busy();
}

// The interrupt request of the engine is sticky and would end the next run too. So this function
// waits for a thread that is making the request, and then clears the request. A thread that wants
// to interrupt later finds the context idle and does nothing.
ExecutionContext::Reason ExecutionContext::leave() noexcept {
  const int next = idle_phase_.load();
  int running = kRunning;
  Reason reason = Reason::kNone;
  if (!phase_.compare_exchange_strong(running, next)) {
    while (phase_.load(std::memory_order_acquire) == kInterrupting) std::this_thread::yield();
    reason = reason_;
    rearm();
    phase_.store(next);
  }
  if (next != kIdle && idle_phase_.load() == kIdle) end_reservation();
  return reason;
}

void ExecutionContext::interrupt(Reason reason) noexcept {
  int running = kRunning;
  if (!phase_.compare_exchange_strong(running, kInterrupting, std::memory_order_acq_rel)) return;
  reason_ = reason;
  interrupt_engine();
  // release_waiter() must come before the store, because leave() waits for the store. After the
  // store the next run may start, and release_waiter() would end the wait for that run instead.
  release_waiter(reason);
  phase_.store(kInterrupted, std::memory_order_release);
}

void ExecutionContext::run(int64_t timeout_ns) {
  try {
    arm(timeout_ns);
  } catch (...) {
    leave();
    throw;
  }
  if (const std::exception_ptr failure = execute_claimed(timeout_ns))
    std::rethrow_exception(failure);
}

// Executes the run that was claimed, and releases the context. A run that completes although it was
// interrupted counts as done.
std::exception_ptr ExecutionContext::execute_claimed(int64_t timeout_ns) noexcept {
  Outcome outcome = Outcome::kInterrupted;
  std::exception_ptr failure;
  try {
    if (!is_interrupted()) outcome = execute(timeout_ns);
  } catch (...) {
    outcome = Outcome::kDone;
    failure = std::current_exception();
  }
  disarm();
  // Before leave(), while no other run can begin.
  if (outcome == Outcome::kDone && failure == nullptr) failure = check_results();
  const Reason reason = leave();
  if (outcome == Outcome::kDone) return failure;
  try {
    throw ended_early(reason);
  } catch (...) {
    return std::current_exception();
  }
}

std::exception_ptr ExecutionContext::execute_timed() noexcept {
  if (times_ == nullptr) return execute_claimed(-1);
  // Copied, because the owner may change both members as soon as the run is over.
  RunTimes* const times = times_;
  const int64_t size = size_;
  const Clock::time_point begin = Clock::now();
  std::exception_ptr failure = execute_claimed(-1);
  const int64_t ns = std::chrono::nanoseconds(Clock::now() - begin).count();
  if (failure == nullptr) times->note(size, ns);
  else times->note_failed(size, ns);
  return failure;
}

void ExecutionContext::set_pending() noexcept {
  generation_ = fork_generation();
  is_pending_.store(true, std::memory_order_relaxed);
}

// For a run that was started.
bool ExecutionContext::is_still_pending() noexcept {
  if (generation_ == fork_generation()) {
    if (!has_ended()) return true;
    discard_results();
    clear_pending();
    return false;
  }
  // A child of fork() inherits a copy of a pending run, but not the thread that works on it. The
  // child abandons the copy, and the context is idle again.
  if (!forget_run()) return true;
  rearm();
  clear_pending();
  phase_.store(kIdle, std::memory_order_release);
  return false;
}

}  // namespace sidecall
