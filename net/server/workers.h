// Threads for work that would delay the connections of a loop: reading a large request, writing a
// large answer, and the handshakes of TLS.
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
  // `niceness`: how much the threads yield to others that want the CPU; see setpriority().
  explicit Workers(size_t max_threads, int niceness = 0)
      : max_threads_(max_threads), niceness_(niceness) {}
  // Does the tasks that were submitted before.
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // `task` must not throw. Throws std::bad_alloc or std::system_error if it cannot be done.
  void submit(std::function<void()> task);

 private:
  void run();

  const size_t max_threads_;
  const int niceness_;
  std::mutex mutex_;  // guards the rest
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  std::vector<std::thread> threads_;
  size_t num_idle_ = 0;
  bool should_end_ = false;
};

}  // namespace sidecall::net
