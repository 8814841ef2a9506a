// Tasks that other threads give to the control thread.
#pragma once

#include <functional>
#include <mutex>
#include <vector>

#include "shm/common/socket.h"

namespace sidecall::shm {

class TaskQueue {
 public:
  using Task = std::function<void()>;

  TaskQueue();  // throws OUT_OF_MEMORY

  // ---- Any thread ----

  // Throws UNREACHABLE if the control thread runs no more tasks.
  void post(Task task);
  // Runs a task on the control thread and waits for it. Throws what the task throws, and the errors
  // of post(). Not for the control thread itself.
  void run(const Task& task);
  // Makes fd() readable, so that the control thread begins another round.
  void wake() noexcept;

  // ---- The control thread ----

  int fd() const noexcept { return alarm_.get(); }
  // Returns the tasks given so far, in this order. After it fd() is no longer readable.
  std::vector<Task> take();
  // The same at the end. If there are no tasks, post() refuses them from now on.
  std::vector<Task> take_last();

 private:
  Fd alarm_;
  std::mutex mutex_;
  std::vector<Task> tasks_;
  bool is_over_ = false;  // the control thread runs no more tasks
};

}  // namespace sidecall::shm
