// The tasks and the events of a queue; see queue.h. Each task has a thread of its own, and the
// queue collects their outcomes.
#include <new>
#include <string>

#include "base/process/fork_generation.h"
#include "core/error.h"
#include "queue.h"

namespace sidecall {
namespace {

constexpr uint64_t kTask = uint64_t{1} << 63;  // in the number of each task, and of no run

}  // namespace

uint64_t Queue::submit(const std::shared_ptr<Task>& task, int64_t timeout_ns, uint64_t tag) {
  struct Shared {
    std::shared_ptr<Queue> queue;
    std::shared_ptr<QueuedTask> task;
  };
  require_own();
  require_timeout(timeout_ns);
  auto shared = std::make_unique<Shared>();
  shared->queue = shared_from_this();
  const auto queued = shared->task = std::make_shared<QueuedTask>();
  queued->task = task;
  queued->tag = tag;
  if (timeout_ns > 0) queued->deadline = deadline_after(timeout_ns);
  const auto work = [](void* given) {
    const std::unique_ptr<Shared> self(static_cast<Shared*>(given));
    std::exception_ptr failure;
    try {
      self->task->task->work();
    } catch (...) {
      failure = std::current_exception();
    }
    const Lock lock(self->queue->mutex_);
    if (!self->task->is_over) self->queue->end_task(self->task.get(), std::move(failure));
  };
  const Lock lock(mutex_);
  if (tasks_.size() >= static_cast<size_t>(options_.capacity))
    throw Error(SIDECALL_BUSY, "the queue has " + std::to_string(options_.capacity) +
                                   " models that were not taken yet, which is its capacity");
  const uint64_t number = queued->number = kTask | ++num_tasks_;
  try {
    tasks_.emplace(number, queued);
    if (timeout_ns > 0) task_deadlines_.emplace(queued->deadline, number);
    if (!platform::start_thread(work, shared.get()))
      throw Error(SIDECALL_OUT_OF_MEMORY, "no thread is left to open a model");
  } catch (...) {
    task_deadlines_.erase({queued->deadline, number});
    tasks_.erase(number);
    throw;
  }
  shared.release();                // NOLINT(bugprone-unused-return-value): the thread frees it
  if (timeout_ns > 0) wake_any();  // a thread that sleeps has to take the deadline into account
  return number;
}

QueuedTask* Queue::find_task(uint64_t number) const noexcept {
  if ((number & kTask) == 0) return nullptr;
  const auto found = tasks_.find(number);
  return found == tasks_.end() ? nullptr : found->second.get();
}

void Queue::end_task(QueuedTask* task, std::exception_ptr failure) noexcept {
  task_deadlines_.erase({task->deadline, task->number});
  task->is_over = true;
  task->failure = std::move(failure);
  if (task->num_awaiting == 0) list_done(task);
  wake_for(task);
}

// Ends a task with this status. Its thread goes on, and drops the result. Returns whether there is
// a task with this number.
bool Queue::end_task_early(uint64_t number, int32_t status) noexcept {
  QueuedTask* const task = find_task(number);
  if (task == nullptr) return false;
  if (task->is_over) return true;
  std::exception_ptr failure;
  try {
    failure = std::make_exception_ptr(
        status == SIDECALL_CANCELLED
            ? Error(status, "opening the model was cancelled")
            : Error(status, "the deadline passed before the model was open"));
  } catch (...) {
    failure = std::current_exception();
  }
  end_task(task, std::move(failure));
  return true;
}

void Queue::end_late_tasks() noexcept {
  const Clock::time_point now = Clock::now();
  while (!task_deadlines_.empty() && task_deadlines_.begin()->first <= now)
    end_task_early(task_deadlines_.begin()->second, SIDECALL_TIMEOUT);
}

void Queue::list_done(QueuedTask* task) noexcept {
  task->is_listed = true;
  done_tasks_.push_back(task);
}

QueuedTask* Queue::next_done_task(uint64_t number) const noexcept {
  if (number == 0) return done_tasks_.first();
  QueuedTask* const task = find_task(number);
  return task != nullptr && task->is_over ? task : nullptr;
}

// Takes the completion of a task that is over. `keeper` keeps the task until the caller has it.
Completion Queue::complete(QueuedTask* task, std::shared_ptr<QueuedTask>* keeper) noexcept {
  if (task->is_listed) done_tasks_.remove(task);
  const auto found = tasks_.find(task->number);
  *keeper = std::move(found->second);
  tasks_.erase(found);
  wake_owner(task->number);  // a thread that waits for it, although another has taken it
  return {task->tag,     task->number, status_of(task->failure), 0, nullptr, task->task.get(),
          task->failure, nullptr};
}

// ---- Events ----

bool Queue::post(std::unique_ptr<QueuedEvent> event) noexcept {
  if (generation_ != fork_generation()) return false;
  const Lock lock(mutex_);
  if (is_closed_) return true;
  if (events_.size() >= kMaxEvents || num_event_bytes_ + event->num_bytes > kMaxEventBytes)
    return false;
  num_event_bytes_ += event->num_bytes;
  events_.push_back(event.release());
  wake_taker(0, false);
  return true;
}

Completion Queue::complete_event() noexcept {
  QueuedEvent* const event = events_.first();
  events_.remove(event);
  num_event_bytes_ -= event->num_bytes;
  Completion completion;
  completion.tag = event->tag;
  completion.event = event;
  return completion;
}

void Queue::drop_events() noexcept {
  while (!events_.is_empty()) delete complete_event().event;
}

}  // namespace sidecall
