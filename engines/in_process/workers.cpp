// The thread pool behind workers.h; used by binding.cpp.
#include "workers.h"

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <thread>

#include "base/per_process.h"
#include "core/platform.h"

namespace sidecall {
namespace {

constexpr size_t kMaxQueue = 4096;

class Pool {
 public:
  explicit Pool(uint64_t created_in)
      : generation(created_in), max_threads_(std::max(2U, std::thread::hardware_concurrency())) {}

  const uint64_t generation;

  bool submit(Job* job) {
    const std::lock_guard lock(mutex_);
    if (queue_.size() >= kMaxQueue) return false;
    queue_.push_back(job);
    if (queue_.size() > idle_ && threads_ < max_threads_) {
      const bool started =
          platform::start_thread([](void* self) { static_cast<Pool*>(self)->loop(); }, this);
      if (started) ++threads_;
      if (threads_ == 0) {
        queue_.pop_back();
        return false;
      }
    }
    filled_.notify_one();
    return true;
  }

 private:
  void loop() {
    std::unique_lock lock(mutex_);
    for (;;) {
      ++idle_;
      filled_.wait(lock, [&] { return !queue_.empty(); });
      --idle_;
      Job* job = queue_.front();
      queue_.pop_front();
      lock.unlock();
      job->work();
      lock.lock();
    }
  }

  const size_t max_threads_;
  std::mutex mutex_;
  std::condition_variable filled_;
  std::deque<Job*> queue_;
  size_t threads_ = 0;
  size_t idle_ = 0;
};

}  // namespace

bool submit_job(Job* job) { return per_process<Pool>().submit(job); }

}  // namespace sidecall
