// The task queue and its thread; see task_thread.h.
#include "task_thread.h"

#include <system_error>
#include <utility>

namespace sidecall::shm {

void TaskThread::run(std::function<void()> task) {
  std::unique_lock<std::mutex> lock(mutex_);
  try {
    if (!thread_.joinable()) thread_ = std::thread(&TaskThread::work, this);
  } catch (const std::system_error&) {
    // No thread can be started. Run the task here: other connections wait, but the server goes on.
    lock.unlock();
    return task();
  }
  waiting_.push_back(std::move(task));
  changed_.notify_one();
}

void TaskThread::finish() noexcept {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    is_finishing_ = true;
    changed_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void TaskThread::work() {
  while (true) {
    std::function<void()> task;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [&] { return is_finishing_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      task = std::move(waiting_.front());
      waiting_.pop_front();
    }
    task();
  }
}

}  // namespace sidecall::shm
