// The list of tasks and the descriptor that wakes the control thread; see task_queue.h.
#include "task_queue.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <exception>
#include <utility>

#include "shm/common/error.h"

namespace sidecall::shm {

TaskQueue::TaskQueue() : alarm_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!alarm_) system_failure(SIDECALL_OUT_OF_MEMORY, "cannot create a server", errno);
}

void TaskQueue::post(Task task) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (is_over_) throw Error(SIDECALL_UNREACHABLE, "the server has ended");
    tasks_.push_back(std::move(task));
  }
  wake();
}

void TaskQueue::run(const Task& task) {
  std::exception_ptr failure;
  std::mutex mutex;
  std::condition_variable done;
  bool is_done = false;
  post([&] {
    try {
      task();
    } catch (...) {
      failure = std::current_exception();
    }
    const std::lock_guard<std::mutex> lock(mutex);
    is_done = true;
    done.notify_all();
  });
  std::unique_lock<std::mutex> lock(mutex);
  done.wait(lock, [&] { return is_done; });
  if (failure) std::rethrow_exception(failure);
}

void TaskQueue::wake() noexcept {
  const uint64_t one = 1;
  // The write fails only if the counter is full, and then the event is already readable.
  [[maybe_unused]] const ssize_t written = write(alarm_.get(), &one, sizeof(one));
}

std::vector<TaskQueue::Task> TaskQueue::take() {
  uint64_t raised = 0;
  [[maybe_unused]] const ssize_t got = read(alarm_.get(), &raised, sizeof(raised));
  std::vector<Task> tasks;
  const std::lock_guard<std::mutex> lock(mutex_);
  tasks.swap(tasks_);
  return tasks;
}

std::vector<TaskQueue::Task> TaskQueue::take_last() {
  std::vector<Task> tasks;
  const std::lock_guard<std::mutex> lock(mutex_);
  is_over_ = tasks_.empty();
  tasks.swap(tasks_);
  return tasks;
}

}  // namespace sidecall::shm
