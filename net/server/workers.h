// Threads that do what would hold up the connections of a loop: reading a large request and writing
// a large answer.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace sidecall::net {

class Workers {
 public:
  Workers() = default;
  // Does the tasks that were submitted before.
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // `task` must not throw. Throws std::bad_alloc or std::system_error if it cannot be done.
  void submit(std::function<void()> task);

 private:
  static constexpr size_t kMaxThreads = 4;
  void run();

  std::mutex mutex_;  // guards the rest
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  std::vector<std::thread> threads_;
  size_t num_idle_ = 0;
  bool should_end_ = false;
};

}  // namespace sidecall::net
