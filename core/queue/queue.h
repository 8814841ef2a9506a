// A completion queue: starts the runs of many calls, of any models on any routes, and collects
// their outcomes. It also opens models. The C ABI (bindings/c/queue.cpp) offers it as
// sidecall_queue.
//
// Calls in this process and on the network tell the queue when a run has made progress
// (RunListener). Runs over shared memory are polled: a thread in take() reads a word in memory for
// each of them, and asks the servers for a wake-up only before it sleeps.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/process/spin_policy.h"
#include "core/call/call.h"
#include "core/clock.h"
#include "core/execution_context.h"
#include "core/platform.h"
#include "jobs.h"

namespace sidecall {

class Queue;
class QueuedRun;
struct ModelRuns;
struct QueuedTask;

// Two linked pointers, so that an object can be in one list at a time without an allocation.
template <typename T>
class Linked {
 public:
  T* next = nullptr;
  T* previous = nullptr;
};

// A list of objects that derive from Linked<T>.
template <typename T>
class LinkedList {
 public:
  bool is_empty() const noexcept { return first_ == nullptr; }
  T* first() const noexcept { return first_; }
  size_t size() const noexcept { return size_; }

  void push_back(T* item) noexcept {
    item->previous = last_;
    item->next = nullptr;
    (last_ == nullptr ? first_ : last_->next) = item;
    last_ = item;
    ++size_;
  }
  void remove(T* item) noexcept {
    (item->previous == nullptr ? first_ : item->previous->next) = item->next;
    (item->next == nullptr ? last_ : item->next->previous) = item->previous;
    item->next = item->previous = nullptr;
    --size_;
  }

 private:
  T* first_ = nullptr;
  T* last_ = nullptr;
  size_t size_ = 0;
};

// The place of a call in a queue: a part of the call, so that completing a run needs no memory.
class QueuedRun final : public Linked<QueuedRun>, private RunListener, private Job {
 public:
  // `owner`: the call that a completion of this run names.
  QueuedRun(Call* call, void* owner) : call_(*call), owner_(owner) {}
  ~QueuedRun() { detach(); }
  QueuedRun(const QueuedRun&) = delete;
  QueuedRun& operator=(const QueuedRun&) = delete;

  bool is_submitted() const noexcept { return is_submitted_.load(std::memory_order_acquire); }

  // Takes the call out of its queue, which then never completes the run. The run itself goes on.
  void detach() noexcept;

  // Cancels the run that is under way, from any thread. Returns false if there is none.
  bool cancel() noexcept;

  // Throws the error of the last run, if it failed; NOT_RUN if no outcome of it was taken.
  void rethrow_outcome();
  void forget_outcome() noexcept;

 private:
  friend class Queue;

  enum class State {
    kIdle,      // in no queue
    kWaiting,   // for its turn; in ModelRuns::waiting
    kStarting,  // a thread starts it
    kStarted,   // in polled_ or connecting_ if it is polled
    kReady,     // has an outcome, or may have one; in ready_
    kReading,   // a thread reads the outcome
    kDone,      // has a completion; in done_ or set_aside_
    kHeld,      // the completion was taken; the engine still uses its memory
  };

  void on_progress() noexcept override;
  void work() noexcept override;  // begins the run
  void join(Queue* queue);

  Call& call_;
  void* const owner_;

  // True from submit() until the outcome is taken and the memory is free.
  std::atomic<bool> is_submitted_{false};
  // Of the last submit. Only the owner of the call sets it, so the owner reads it without the lock.
  std::shared_ptr<Queue> queue_;
  std::mutex queue_mutex_;

  // The rest is guarded by the mutex of the queue.
  ModelRuns* model_ = nullptr;
  State state_ = State::kIdle;
  bool is_counted_ = false;      // in ModelRuns::num_started
  bool is_held_ = false;         // its outcome came while the engine still used its memory
  bool is_released_ = false;     // of kDone: its outcome was taken before
  bool is_set_aside_ = false;    // of kDone: in set_aside_ instead of done_
  int32_t num_awaiting_ = 0;     // the threads in take() that wait for this run only
  bool has_progressed_ = false;  // on_progress() was called meanwhile
  bool is_cancelled_ = false;
  uint64_t num_events_ = 0;     // Queue::num_events_ when the run left polled_
  bool is_connecting_ = false;  // of kStarted, if it is polled: in connecting_
  bool has_waited_ = false;     // for its turn
  bool is_large_ = false;       // a thread of the library prepares it
  bool is_over_ = false;        // of kReady: `failure_` is the outcome
  int32_t status_ = 0;          // of kDone
  uint32_t slot_ = 0;
  std::atomic<uint64_t> number_{0};
  uint64_t tag_ = 0;
  int64_t timeout_ns_ = -1;
  Clock::time_point deadline_ = Clock::time_point::max();
  std::atomic<bool> has_outcome_{false};  // of the last run
  std::exception_ptr failure_;            // of the last run
};

// Work that may take seconds, such as opening a model. A thread of its own does it.
class Task {
 public:
  virtual ~Task() = default;  // on any thread; also drops a result that no one has taken
  virtual void work() = 0;    // throws the error of the task
};

// A task in a queue. The queue and the thread of the task share it.
struct QueuedTask : Linked<QueuedTask> {
  std::shared_ptr<Task> task;
  uint64_t number = 0, tag = 0;
  Clock::time_point deadline = Clock::time_point::max();
  // The rest is guarded by the mutex of the queue.
  bool is_over = false;      // it has an outcome, or the queue was closed
  bool is_listed = false;    // in done_tasks_
  int32_t num_awaiting = 0;  // the threads in take() that wait for this task only
  std::exception_ptr failure;
};

// Something that a queue reports although it did not start it, such as an event in a server's log.
struct QueuedEvent : Linked<QueuedEvent> {
  QueuedEvent(uint64_t chosen_tag, size_t size) : tag(chosen_tag), num_bytes(size) {}
  virtual ~QueuedEvent() = default;
  const uint64_t tag;
  const size_t num_bytes;
};

// The runs of one model in a queue.
struct ModelRuns : Linked<ModelRuns> {
  const void* name = nullptr;
  LinkedList<QueuedRun> waiting;
  int32_t num_started = 0;
  bool has_turn = false;  // it is in Queue::turns_
};

struct QueueOptions {
  int32_t capacity = 16384;
  int32_t max_started = 128;  // of each model
};

// What take() returns for a run, a task or an event.
struct Completion {
  enum Flags : uint32_t { kHeld = 1, kReleased = 2 };
  uint64_t tag = 0, run = 0;
  int32_t status = 0;
  uint32_t flags = 0;
  void* owner = nullptr;         // of a run, whose error is in QueuedRun
  Task* task = nullptr;          // of a task; without a failure, its work() has returned
  std::exception_ptr failure;    // of a task
  QueuedEvent* event = nullptr;  // of an event; the taker destroys it
};

class Queue : public std::enable_shared_from_this<Queue> {
 public:
  explicit Queue(const QueueOptions& options);
  ~Queue();
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  // Returns the number of the run. `model`: the runs of one model begin in order. Throws BUSY,
  // INVALID_ARGUMENT, FORKED.
  uint64_t submit(QueuedRun* run, const void* model, int64_t timeout_ns, uint64_t tag);
  // Begins a task at once, and returns its number. The queue keeps the task until take() has
  // returned its completion. After a deadline or a cancel the thread of the task goes on, but its
  // result is dropped. Throws BUSY, INVALID_ARGUMENT, FORKED, OUT_OF_MEMORY.
  uint64_t submit(const std::shared_ptr<Task>& task, int64_t timeout_ns, uint64_t tag);
  // Never waits. Returns false if kMaxEvents or kMaxEventBytes wait already, and in a forked child.
  // After close(), drops the event and returns true.
  bool post(std::unique_ptr<QueuedEvent> event) noexcept;
  // Calls `put` for up to `capacity` completions, and returns how many there were. `number`: 0 for
  // any run, task or event. Throws NOT_RUN, CANCELLED (close() was called), FORKED.
  int64_t take(uint64_t number, int64_t capacity, int64_t wait_ns,
               void (*put)(void* context, int64_t index, const Completion&), void* context);
  int64_t arm();  // see sidecall_queue_arm
  int handle();
  void cancel(uint64_t number) noexcept;
  bool close() noexcept;  // returns false in a forked child, and does nothing

  static constexpr size_t kMaxEvents = 1024;
  static constexpr size_t kMaxEventBytes = size_t{1} << 20;

 private:
  friend class QueuedRun;
  using State = QueuedRun::State;
  using Lock = std::unique_lock<std::mutex>;

  // A thread in take() that sleeps.
  struct Waiter : Linked<Waiter> {
    std::condition_variable changed;
    uint64_t number = 0;
    bool is_woken = false;
  };

  // A thread in take(), which waits for the run of this number if it is not 0.
  class Taking {
   public:
    Taking(Queue* queue, uint64_t number);
    ~Taking();
    Taking(const Taking&) = delete;
    Taking& operator=(const Taking&) = delete;

   private:
    Queue& queue_;
    const uint64_t number_;
  };

  // queue.cpp
  static int32_t status_of(const std::exception_ptr& failure) noexcept;
  void require_own() const;
  void take_slot(QueuedRun* run);
  QueuedRun* find(uint64_t number) const noexcept;
  void begin(QueuedRun* run, Lock* lock) noexcept;
  void start(QueuedRun* run, Lock* lock) noexcept;
  void begin_turns(Lock* lock) noexcept;
  void give_turn(ModelRuns* runs) noexcept;
  bool withdraw(QueuedRun* run, int32_t status) noexcept;
  void await(QueuedRun* run) noexcept;
  LinkedList<QueuedRun>* list_of_polled(const QueuedRun* run) noexcept {
    return run->is_connecting_ ? &connecting_ : &polled_;
  }
  void list_ready(QueuedRun* run) noexcept;
  void make_ready(QueuedRun* run) noexcept;
  void on_progress(QueuedRun* run) noexcept;
  void read_outcome(QueuedRun* run, Lock* lock) noexcept;
  QueuedRun* next_done(uint64_t number) const noexcept;
  Completion complete(QueuedRun* run) noexcept;
  void list_done(QueuedRun* run) noexcept;
  void unlist(QueuedRun* run) noexcept;
  void drop_if_unused(ModelRuns* runs) noexcept;
  void end_started(QueuedRun* run) noexcept;
  void forget(QueuedRun* run) noexcept;
  void detach(QueuedRun* run) noexcept;

  // queue_tasks.cpp
  QueuedTask* find_task(uint64_t number) const noexcept;
  void end_task(QueuedTask* task, std::exception_ptr failure) noexcept;
  bool end_task_early(uint64_t number, int32_t status) noexcept;
  void end_late_tasks() noexcept;
  QueuedTask* next_done_task(uint64_t number) const noexcept;
  Completion complete(QueuedTask* task, std::shared_ptr<QueuedTask>* keeper) noexcept;
  void list_done(QueuedTask* task) noexcept;
  Completion complete_event() noexcept;
  void drop_events() noexcept;

  // queue_wait.cpp
  void end_taking() noexcept;
  void wait(uint64_t number, Clock::time_point until, Lock* lock);
  bool has_end(uint64_t number) const noexcept;
  bool has_polled() const noexcept { return !polled_.is_empty() || !connecting_.is_empty(); }
  void drive(uint64_t number, Clock::time_point until, Lock* lock) noexcept;
  bool spin(uint64_t number, Clock::time_point until, Lock* lock) noexcept;
  bool look(Look what) noexcept;
  bool look(Look what, Clock::time_point now) noexcept;
  void look_at(LinkedList<QueuedRun>* list, size_t most, size_t most_news, Look what,
               Clock::time_point now) noexcept;
  bool prepare_sleep(Clock::time_point* until);
  void open_wait_set();
  void take_events() noexcept;
  static void wake(Waiter* waiter) noexcept;
  Clock::time_point next_deadline() const noexcept;
  bool has_done() const noexcept {
    return !done_.is_empty() || !done_tasks_.is_empty() || !events_.is_empty();
  }
  void wake_owner(uint64_t number) noexcept;
  void wake_for(const QueuedRun* run) noexcept;
  void wake_for(const QueuedTask* task) noexcept;
  void wake_taker(uint64_t number, bool is_ready) noexcept;
  void signal() noexcept;
  void wake_any() noexcept;
  void wake_all() noexcept;

  const QueueOptions options_;
  const uint64_t number_;      // unique in this process
  const uint64_t generation_;  // the fork generation

  std::mutex mutex_;  // guards the rest; not used in a forked child
  std::vector<QueuedRun*> slots_;
  std::vector<uint32_t> free_slots_;
  std::vector<uint64_t> uses_;  // of each slot; a part of the numbers of its runs
  std::unordered_map<const void*, ModelRuns> models_;
  LinkedList<ModelRuns> turns_;  // the models that may begin a waiting run
  // The deadlines of the runs that wait for their turn or for a thread that prepares them.
  std::set<std::pair<Clock::time_point, QueuedRun*>> waiting_deadlines_;
  LinkedList<QueuedRun> polled_, ready_, done_;
  LinkedList<QueuedRun> connecting_;  // those that are polled, but have no connection yet
  Clock::time_point next_connecting_step_;
  LinkedList<QueuedRun> set_aside_;  // the runs that are done and that a certain thread waits for
  std::unordered_map<uint64_t, std::shared_ptr<QueuedTask>> tasks_;  // by number
  std::set<std::pair<Clock::time_point, uint64_t>> task_deadlines_;  // of those under way
  LinkedList<QueuedTask> done_tasks_;  // without tasks that a certain thread waits for
  uint64_t num_tasks_ = 0;             // so far
  LinkedList<QueuedEvent> events_;
  size_t num_event_bytes_ = 0;  // of events_
  LinkedList<Waiter> waiters_;
  std::condition_variable state_changed_;  // a run left kReading or kStarting, or a taker left
  int32_t num_takers_ = 0;
  uint64_t num_events_ = 0;     // how often events of wait_set_ were taken
  bool is_driven_ = false;      // a taker looks at the polled runs
  bool is_sleeping_ = false;    // the driver sleeps
  uint64_t driver_number_ = 0;  // the run that the driver waits for; 0 for any
  bool is_armed_ = false;
  bool was_armed_ = false;  // the handle may be readable
  bool is_closed_ = false;
  bool has_sockets_ = false;  // sockets may have joined wait_set_
  SpinPolicy spin_policy_;    // of the driver
  // What arm() has told a program with polled runs to do since the last outcome.
  enum class Looking { kNotYet, kNow, kEnough } looking_ = Looking::kNotYet;
  Clock::time_point look_until_;
  SpinPolicy look_policy_;
  std::optional<platform::WaitSet> wait_set_;
};

}  // namespace sidecall
