// A thread for what takes long and would keep others waiting: making and freeing large memory. Used by the control thread.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace sidecall::shm {

// Errands run in their order, on a thread that starts with the first. They must not throw.
class Errands {
 public:
  ~Errands() { finish(); }
  void run(std::function<void()> errand);
  void finish() noexcept;  // those that were given are run

 private:
  void work();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> waiting_;
  bool is_finishing_ = false;
  std::thread thread_;
};

}  // namespace sidecall::shm
