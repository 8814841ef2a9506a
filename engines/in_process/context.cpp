// Starts and awaits runs on threads of this process; see context.h.
#include "context.h"

#include <new>

namespace sidecall {

void InProcessContext::arm(int64_t timeout_ns) {
  if (timeout_ns > 0) deadline_.emplace(deadline_after(timeout_ns), static_cast<Watched*>(this));
}

void InProcessContext::on_deadline() noexcept { interrupt(Reason::kTimedOut); }

void InProcessContext::submit(int64_t timeout_ns, RunListener* listener, const void* line) {
  try {
    {
      const std::lock_guard lock(started_->mutex);
      started_->is_done = started_->is_taken = false;
      started_->released = Reason::kNone;
      started_->failure = nullptr;
      started_->listener = listener;
      started_->line = line;
      set_pending();
    }
    arm(timeout_ns);
    if (!submit_job(this, JobKind::kRun, line))
      throw Error(SIDECALL_BUSY, "the queue of asynchronous runs is full");
  } catch (...) {
    disarm();
    leave();
    clear_pending();
    stop_listening();
    throw;
  }
}

void InProcessContext::stop_listening() noexcept {
  const std::lock_guard lock(started_->mutex);
  started_->listener = nullptr;
}

void InProcessContext::notify_owner() noexcept {
  if (started_->listener != nullptr) started_->listener->on_progress();
  started_->changed.notify_all();
}

// Runs on a thread of the pool. The owner may destroy the context as soon as the lock is released,
// unless the owner has left the destruction to this thread (leave_to_worker()).
void InProcessContext::work() noexcept {
  std::exception_ptr failure = execute_timed();
  std::unique_lock lock(started_->mutex);
  started_->failure = std::move(failure);
  started_->is_done = true;
  notify_owner();
  const auto dispose = started_->dispose;
  void* const owner = started_->owner;
  lock.unlock();
  if (dispose != nullptr) dispose(owner);
}

// Tells the owner of the outcome, although the engine may still be executing the run.
void InProcessContext::release_waiter(Reason reason) noexcept {
  if (!was_started()) return;
  const std::lock_guard lock(started_->mutex);
  if (started_->is_done || started_->released != Reason::kNone) return;
  started_->released = reason;
  notify_owner();
}

bool InProcessContext::take_outcome() {
  Started& started = *started_;
  std::unique_lock lock(started.mutex);
  if (!started.is_done && started.released == Reason::kNone) return false;
  if (!started.is_done) {
    // The run may not have begun yet, and then nothing uses its memory.
    lock.unlock();
    if (withdraw_job(this, JobKind::kRun, started.line)) {
      disarm();
      const Reason reason = leave();
      clear_pending();
      throw ended_early(reason);
    }
    lock.lock();
  }
  if (!started.is_done) {
    started.is_taken = true;
    throw ended_early(started.released);
  }
  clear_pending();
  if (started.failure) std::rethrow_exception(started.failure);
  return true;
}

bool InProcessContext::has_ended() noexcept {
  const std::lock_guard lock(started_->mutex);
  return started_->is_taken && started_->is_done;
}

// A thread of the parent may have held the mutex when fork() copied the memory, so the child makes
// a new mutex.
bool InProcessContext::forget_run() noexcept {
  auto* fresh = new (std::nothrow) Started;
  if (fresh == nullptr) return false;
  started_.release();  // NOLINT(bugprone-unused-return-value): its mutex may be locked for ever
  started_.reset(fresh);
  deadline_.reset();
  return true;
}

bool InProcessContext::leave_to_worker(void (*dispose)(void*), void* owner) noexcept {
  if (!is_pending()) return false;
  cancel();
  const std::lock_guard lock(started_->mutex);
  if (started_->is_done) return false;
  started_->dispose = dispose;
  started_->owner = owner;
  return true;
}

void InProcessContext::end_runs() noexcept {
  if (!is_pending()) return;
  cancel();
  std::unique_lock lock(started_->mutex);
  started_->changed.wait(lock, [&] { return started_->is_done; });
}

}  // namespace sidecall
