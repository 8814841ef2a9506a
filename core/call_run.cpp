// Runs of a call: synchronous, asynchronous, with deadlines and cancellation. The differences for
// runs in another process are in call_remote.cpp.
#include <algorithm>
#include <new>
#include <thread>

#include "call.h"

namespace sidecall {
namespace {

void require_timeout(int64_t timeout_ns) {
  if (timeout_ns == 0 || timeout_ns < -1) {
    throw Error(SIDECALL_INVALID_ARGUMENT,
                "timeout_ns: expected more than 0, or -1 for no deadline, got " +
                    std::to_string(timeout_ns));
  }
}

}  // namespace

Error Call::ended_early(Reason reason) {
  if (reason == Reason::kCancelled) return {SIDECALL_CANCELLED, "the run was cancelled"};
  return {SIDECALL_TIMEOUT, "the deadline passed before the run was over"};
}

// Makes all checks that are possible before the engine is called, and throws if one fails.
void Call::prepare() {
  has_results_ = false;
  if (shapes_changed_) settle_shapes();
  FaultList faults;
  if (has_records_) check_records(&faults);
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const bool from_records = has_records_ && !signature_.checks[i].feature_at.empty();
    if (inputs_[i].is_given || from_records) continue;
    const TensorSpec& spec = signature_.inputs[i];
    throw Error("input", {SIDECALL_MISSING_INPUT, -1, spec.name,
                          describe_tensor(spec.dtype, spec.dims, &spec.dim_names), "nothing"});
  }
  check_bools();
  if (signature_.has_contract) check_values(&faults);
  if (!faults.is_empty()) faults.raise(rows_ > 1);
  for (Output& output : outputs_) output.is_fetched = false;
}

// Reserves the call for one run. Throws BUSY if another run has it.
void Call::claim() {
  int idle = kIdle;
  if (is_pending() || !phase_.compare_exchange_strong(idle, kRunning, std::memory_order_acq_rel)) {
    throw Error(SIDECALL_BUSY, "the call is running");
  }
}

// Ends the run and returns why it was interrupted, if it was. The interrupt flag of the engine is
// sticky and would end the next run too. So this function waits for a thread that is setting the
// flag, and then clears it. A thread that comes later finds the call idle and does nothing.
Call::Reason Call::leave() noexcept {
  int running = kRunning;
  if (phase_.compare_exchange_strong(running, kIdle, std::memory_order_acq_rel))
    return Reason::kNone;
  while (phase_.load(std::memory_order_acquire) == kInterrupting) std::this_thread::yield();
  const Reason reason = reason_;
  binding_->rearm();
  phase_.store(kIdle, std::memory_order_release);
  return reason;
}

void Call::interrupt(Reason reason) noexcept {
  int running = kRunning;
  if (!phase_.compare_exchange_strong(running, kInterrupting, std::memory_order_acq_rel)) return;
  reason_ = reason;
  binding_->interrupt();
  // This must come before the store, for which leave() waits. After the store the next run may
  // start, and this would wake the thread that waits for that run.
  release_waiter(reason);
  phase_.store(kInterrupted, std::memory_order_release);
}

// Runs the engine and then leaves the running phase. A run that completes although it was
// interrupted counts as done.
std::exception_ptr Call::run_engine(int64_t timeout_ns) noexcept {
  Outcome outcome = Outcome::kInterrupted;
  std::exception_ptr failure;
  try {
    if (phase_.load(std::memory_order_acquire) == kRunning) outcome = binding_->run(timeout_ns);
  } catch (...) {
    outcome = Outcome::kDone;
    failure = std::current_exception();
  }
  deadline_.reset();
  // Before leave(), while no other run can take the call.
  if (outcome == Outcome::kDone && failure == nullptr) failure = accept_results();
  const Reason reason = leave();
  if (outcome == Outcome::kDone) return failure;
  try {
    throw ended_early(reason);
  } catch (...) {
    return std::current_exception();
  }
}

void Call::run(int64_t timeout_ns) {
  require_timeout(timeout_ns);
  await_abandoned();
  claim();
  try {
    prepare();
    if (timeout_ns > 0 && remote_ == nullptr)
      deadline_.emplace(deadline_after(timeout_ns), static_cast<Watched*>(this));
  } catch (...) {
    leave();
    throw;
  }
  if (const std::exception_ptr failure = run_engine(timeout_ns)) std::rethrow_exception(failure);
}

void Call::start(int64_t timeout_ns) {
  require_timeout(timeout_ns);
  await_abandoned();
  claim();
  if (remote_ == nullptr) start_local(timeout_ns);
  else start_remote(timeout_ns, true);
}

bool Call::try_start(int64_t timeout_ns) {
  require_timeout(timeout_ns);
  if (remote_ != nullptr) await_abandoned();
  claim();
  if (remote_ != nullptr) return start_remote(timeout_ns, false);
  start_local(timeout_ns);
  return true;
}

void Call::start_local(int64_t timeout_ns) {
  try {
    prepare();
    {
      const std::lock_guard lock(pending_->mutex);
      pending_->is_done = pending_->is_taken = false;
      pending_->released = Reason::kNone;
      pending_->failure = nullptr;
      pending_->process = platform::process_id();
      is_pending_.store(true, std::memory_order_relaxed);
    }
    if (timeout_ns > 0) deadline_.emplace(deadline_after(timeout_ns), static_cast<Watched*>(this));
    if (!submit_job(this)) throw Error(SIDECALL_BUSY, "the queue of asynchronous runs is full");
  } catch (...) {
    deadline_.reset();
    leave();
    is_pending_.store(false, std::memory_order_relaxed);
    if (pending_->event) pending_->event->drain();
    throw;
  }
}

// Runs on a thread of the pool. The owner may destroy the call as soon as the lock is released,
// unless it has left that to this thread (leave_to_worker()).
void Call::work() noexcept {
  std::exception_ptr failure = run_engine(-1);
  std::unique_lock lock(pending_->mutex);
  pending_->failure = std::move(failure);
  pending_->is_done = true;
  if (pending_->event) pending_->event->signal();
  pending_->changed.notify_all();
  const auto dispose = pending_->dispose;
  void* const context = pending_->dispose_context;
  lock.unlock();
  if (dispose != nullptr) dispose(context);
}

bool Call::borrows_memory() const noexcept {
  const auto is_borrowed = [](const Input& input) { return input.is_borrowed; };
  const auto is_bound = [](const Output& output) { return output.is_bound; };
  return std::any_of(inputs_.begin(), inputs_.end(), is_borrowed) ||
         std::any_of(outputs_.begin(), outputs_.end(), is_bound);
}

bool Call::leave_to_worker(void (*dispose)(void*), void* context) noexcept {
  if (remote_ != nullptr || !is_pending() || borrows_memory()) return false;
  cancel();
  const std::lock_guard lock(pending_->mutex);
  if (pending_->is_done) return false;
  pending_->dispose = dispose;
  pending_->dispose_context = context;
  return true;
}

// Wakes the thread that waits in finish(), although the engine may still run. If the run is in
// another process, the binding itself wakes the waiting thread.
void Call::release_waiter(Reason reason) noexcept {
  if (remote_ != nullptr || !is_pending_.load(std::memory_order_relaxed)) return;
  const std::lock_guard lock(pending_->mutex);
  if (pending_->is_done || pending_->released != Reason::kNone) return;
  pending_->released = reason;
  if (pending_->event) pending_->event->signal();
  pending_->changed.notify_all();
}

void Call::on_deadline() noexcept { interrupt(Reason::kTimedOut); }

void Call::cancel() noexcept { interrupt(Reason::kCancelled); }

// Whether a started run still occupies the call: its outcome was not taken, or the run was given up
// and its memory is still in use.
bool Call::is_pending() noexcept {
  if (!is_pending_.load(std::memory_order_relaxed)) return false;
  if (pending_->process != platform::process_id()) return !leave_to_parent();
  if (!is_free()) return true;
  given_up_ = Reason::kNone;
  has_results_ = false;
  is_pending_.store(false, std::memory_order_relaxed);
  return false;
}

// Whether a run whose outcome was taken early no longer uses its memory.
bool Call::is_free() noexcept {
  if (remote_ != nullptr) {
    try {
      return given_up_ != Reason::kNone && remote_->is_free();
    } catch (...) {
      return true;  // the connection cannot be used any more, which the next run reports
    }
  }
  const std::lock_guard lock(pending_->mutex);
  if (!pending_->is_taken || !pending_->is_done) return false;
  if (pending_->event) pending_->event->drain();
  return true;
}

// A child of fork() inherits a copy of a pending run, but not the thread that works on it, and
// perhaps a mutex that this thread held. The child abandons the copy, and the call is idle again.
// Returns false if there is no memory for a new Pending.
bool Call::leave_to_parent() noexcept {
  auto* fresh = new (std::nothrow) Pending;
  if (fresh == nullptr) return false;
  pending_.release();  // NOLINT(bugprone-unused-return-value): its mutex may be locked for ever
  pending_.reset(fresh);
  deadline_.reset();
  binding_->rearm();
  given_up_ = Reason::kNone;
  is_pending_.store(false, std::memory_order_relaxed);
  phase_.store(kIdle, std::memory_order_release);
  return true;
}

bool Call::is_busy() noexcept {
  return is_pending() || phase_.load(std::memory_order_acquire) != kIdle;
}

void Call::nothing_to_finish() {
  throw Error(SIDECALL_NOT_RUN,
              "finish: expected a run that was started and whose outcome was not taken, got none");
}

bool Call::finish(int64_t wait_ns) {
  if (wait_ns < -1)
    throw Error(SIDECALL_INVALID_ARGUMENT,
                "wait_ns: expected 0 or more, or -1, got " + std::to_string(wait_ns));
  if (!is_pending()) {
    if (has_remote_fd_) remote_->clear_fd();
    nothing_to_finish();
  }
  if (remote_ != nullptr) return finish_remote(wait_ns);
  Pending& pending = *pending_;
  std::unique_lock lock(pending.mutex);
  const auto is_over = [&] {
    return pending.is_done || (pending.released != Reason::kNone && !pending.is_taken);
  };
  if (wait_ns < 0) {
    pending.changed.wait(lock, is_over);
  } else if (!is_over()) {
    pending.changed.wait_until(lock, deadline_after(wait_ns), is_over);
  }
  const bool was_taken = pending.is_taken;
  if (!is_over()) {
    if (was_taken) nothing_to_finish();
    return false;
  }
  if (pending.event) pending.event->drain();
  if (!pending.is_done) {
    pending.is_taken = true;
    throw ended_early(pending.released);
  }
  is_pending_.store(false, std::memory_order_relaxed);
  if (was_taken) {
    has_results_ = false;
    nothing_to_finish();
  }
  if (pending.failure) std::rethrow_exception(pending.failure);
  return true;
}

// A run whose outcome was taken early may still use the buffers: waits until the engine has
// finished with them.
void Call::await_abandoned() {
  if (!is_pending()) return;
  if (remote_ != nullptr) {
    if (given_up_ == Reason::kNone) return;  // its outcome was not taken: the call is busy
    // The binding itself waits for the peer, in the next run and within its deadline.
    given_up_ = Reason::kNone;
    is_pending_.store(false, std::memory_order_relaxed);
    return;
  }
  std::unique_lock lock(pending_->mutex);
  if (!pending_->is_taken) return;
  pending_->changed.wait(lock, [&] { return pending_->is_done; });
  if (pending_->event) pending_->event->drain();
  is_pending_.store(false, std::memory_order_relaxed);
  has_results_ = false;
}

int Call::fd() {
  if (remote_ != nullptr) {
    // A new descriptor could miss the end of a run that was started before.
    if (!has_remote_fd_) require_idle();
    const int fd = remote_->fd();
    has_remote_fd_ = true;
    return fd;
  }
  if (!pending_->event) {
    require_idle();
    pending_->event = std::make_unique<platform::Event>();
  }
  return pending_->event->fd();
}

}  // namespace sidecall
