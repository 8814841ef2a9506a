// Does tasks on threads; see workers.h.
#include "workers.h"

#include <sys/resource.h>

#include <exception>
#include <utility>

#include "base/process/signals_blocked.h"

namespace sidecall::net {

Workers::~Workers() {
  {
    const std::lock_guard lock(mutex_);
    should_end_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Workers::submit(std::function<void()> task) {
  const std::lock_guard lock(mutex_);
  if (num_idle_ <= tasks_.size() && threads_.size() < max_threads_) {
    try {
      threads_.reserve(max_threads_);
      const SignalsBlocked blocked;
      threads_.emplace_back([this] { run(); });
    } catch (const std::exception&) {
      if (threads_.empty()) throw;
    }
  }
  tasks_.push_back(std::move(task));
  changed_.notify_one();
}

void Workers::run() {
  if (niceness_ != 0) ::setpriority(PRIO_PROCESS, 0, niceness_);  // of this thread only
  std::unique_lock lock(mutex_);
  for (;;) {
    ++num_idle_;
    changed_.wait(lock, [this] { return should_end_ || !tasks_.empty(); });
    --num_idle_;
    if (tasks_.empty()) return;
    const std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    lock.lock();
  }
}

}  // namespace sidecall::net
