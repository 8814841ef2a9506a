// The task queue and its thread; see control_errands.h.
#include "control_errands.h"

#include <system_error>
#include <utility>

namespace sidecall::shm {

void Errands::run(std::function<void()> errand) {
  std::unique_lock<std::mutex> lock(mutex_);
  try {
    if (!thread_.joinable()) thread_ = std::thread(&Errands::work, this);
  } catch (const std::system_error&) {
    // No thread can be started. Run the task here: other connections wait, but the server goes on.
    lock.unlock();
    return errand();
  }
  waiting_.push_back(std::move(errand));
  changed_.notify_one();
}

void Errands::finish() noexcept {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    is_finishing_ = true;
    changed_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void Errands::work() {
  while (true) {
    std::function<void()> errand;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [&] { return is_finishing_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      errand = std::move(waiting_.front());
      waiting_.pop_front();
    }
    errand();
  }
}

}  // namespace sidecall::shm
