// A thread for tasks that take long and would delay other connections: creating and freeing large
// memory. Used by the control thread.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace sidecall::shm {

// Runs tasks in the order given, on a thread that is started with the first one. Tasks must not
// throw.
class TaskThread {
 public:
  ~TaskThread() { finish(); }
  void run(std::function<void()> task);
  void finish() noexcept;  // returns when all tasks given so far have run

 private:
  void work();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> waiting_;
  bool is_finishing_ = false;
  std::thread thread_;
};

}  // namespace sidecall::shm
