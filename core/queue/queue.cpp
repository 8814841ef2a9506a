// The runs of a queue, from submit to their completion; see queue.h. queue_wait.cpp has the threads
// that wait for them.
#include "queue.h"

#include <new>
#include <string>

#include "base/process/fork_generation.h"
#include "core/error.h"

namespace sidecall {
namespace {

constexpr int64_t kMostElements = 8192;  // inputs up to this size are prepared during submit()
constexpr int kSlotBits = 20;  // in the number of a run; QueueOptions::capacity is at most 2^20

uint64_t next_number() {
  static std::atomic<uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

}  // namespace

// ---- A run ----

void QueuedRun::on_progress() noexcept { queue_->on_progress(this); }

void QueuedRun::work() noexcept {
  const std::shared_ptr<Queue> queue = queue_;  // the program may close the queue meanwhile
  Queue::Lock lock(queue->mutex_);
  queue->start(this, &lock);
}

void QueuedRun::detach() noexcept {
  if (queue_ != nullptr && queue_->generation_ == fork_generation()) queue_->detach(this);
}

void QueuedRun::join(Queue* queue) {
  const std::lock_guard lock(queue_mutex_);
  if (queue_.get() != queue) queue_ = queue->shared_from_this();
}

bool QueuedRun::cancel() noexcept {
  std::shared_ptr<Queue> queue;
  {
    const std::lock_guard lock(queue_mutex_);
    queue = queue_;
  }
  if (!is_submitted() || queue == nullptr || queue->generation_ != fork_generation()) return false;
  queue->cancel(number_);
  return true;
}

void QueuedRun::rethrow_outcome() {
  if (!has_outcome_.load(std::memory_order_acquire))
    throw Error(SIDECALL_NOT_RUN,
                "the call has no outcome yet: submit it to a queue, and take its completion");
  if (failure_ != nullptr) std::rethrow_exception(failure_);
}

void QueuedRun::forget_outcome() noexcept {
  has_outcome_.store(false, std::memory_order_relaxed);
  failure_ = nullptr;
}

// ---- Begin ----

Queue::Queue(const QueueOptions& options)
    : options_(options), number_(next_number()), generation_(fork_generation()) {}

Queue::~Queue() {
  if (generation_ == fork_generation()) drop_events();
}

int32_t Queue::status_of(const std::exception_ptr& failure) noexcept {
  if (failure == nullptr) return SIDECALL_OK;
  try {
    std::rethrow_exception(failure);
  } catch (const Error& error) {
    return error.status();
  } catch (const std::bad_alloc&) {
    return SIDECALL_OUT_OF_MEMORY;
  } catch (...) {
    return SIDECALL_INTERNAL;
  }
}

void Queue::require_own() const {
  if (generation_ != fork_generation())
    throw Error(SIDECALL_FORKED, "the queue was opened before fork(): open another in the child");
}

// The number of a run includes how often its slot was used, so the number of a finished run never
// names a later run.
void Queue::take_slot(QueuedRun* run) {
  if (free_slots_.empty()) {
    if (slots_.size() >= static_cast<size_t>(options_.capacity))
      throw Error(SIDECALL_BUSY, "the queue has " + std::to_string(options_.capacity) +
                                     " runs that were not taken yet, which is its capacity");
    slots_.reserve(slots_.size() + 1);
    uses_.reserve(slots_.size() + 1);
    free_slots_.reserve(slots_.size() + 1);
    free_slots_.push_back(static_cast<uint32_t>(slots_.size()));
    slots_.push_back(nullptr);
    uses_.push_back(0);
  }
  run->slot_ = free_slots_.back();
  free_slots_.pop_back();
  slots_[run->slot_] = run;
  run->number_ = ++uses_[run->slot_] << kSlotBits | run->slot_;
}

QueuedRun* Queue::find(uint64_t number) const noexcept {
  const uint64_t slot = number & ((uint64_t{1} << kSlotBits) - 1);
  QueuedRun* const run = slot < slots_.size() ? slots_[slot] : nullptr;
  return run != nullptr && run->number_ == number ? run : nullptr;
}

uint64_t Queue::submit(QueuedRun* run, const void* model, int64_t timeout_ns, uint64_t tag) {
  require_own();
  const bool is_inherited = run->queue_ != nullptr && run->queue_->generation_ != generation_;
  if (run->is_submitted_.exchange(true, std::memory_order_acq_rel) && !is_inherited)
    throw Error(SIDECALL_BUSY, "the call is under way in a queue");
  try {
    run->call_.reserve(timeout_ns);
  } catch (...) {
    run->is_submitted_.store(false, std::memory_order_release);
    throw;
  }
  const int64_t limit_ns = timeout_ns > 0 ? timeout_ns : run->call_.default_timeout_ns();
  run->deadline_ = limit_ns > 0 ? deadline_after(limit_ns) : Clock::time_point::max();
  Lock lock(mutex_);
  bool must_wait = false;
  run->model_ = nullptr;
  try {
    ModelRuns& runs = models_[model];
    runs.name = model;
    run->model_ = &runs;
    must_wait = runs.num_started >= options_.max_started || !runs.waiting.is_empty();
    run->is_large_ = run->call_.num_elements() > kMostElements;
    if (must_wait || run->is_large_) waiting_deadlines_.emplace(run->deadline_, run);
    take_slot(run);
  } catch (...) {
    waiting_deadlines_.erase({run->deadline_, run});
    if (run->model_ != nullptr) drop_if_unused(run->model_);
    run->call_.release();
    run->call_.unreserve();
    run->is_submitted_.store(false, std::memory_order_release);
    throw;
  }
  run->join(this);
  run->tag_ = tag;
  run->timeout_ns_ = timeout_ns;
  run->is_cancelled_ = run->is_over_ = run->is_held_ = run->is_released_ = false;
  run->is_counted_ = false;
  run->num_awaiting_ = 0;
  run->has_outcome_.store(false, std::memory_order_relaxed);
  run->failure_ = nullptr;
  const uint64_t number = run->number_;
  const bool is_large = run->is_large_;
  if (must_wait) {
    run->state_ = State::kWaiting;
    run->model_->waiting.push_back(run);
  } else {
    begin(run, &lock);
  }
  // A thread that sleeps has to take the new deadline into account.
  if (must_wait || is_large) wake_any();
  return number;
}

// Begins a run whose turn it is. The mutex is unlocked meanwhile.
void Queue::begin(QueuedRun* run, Lock* lock) noexcept {
  run->has_waited_ = run->state_ == State::kWaiting;
  run->state_ = State::kStarting;
  run->has_progressed_ = false;
  run->num_events_ = num_events_;
  run->is_counted_ = true;
  ++run->model_->num_started;
  // Checking and copying large inputs would delay this thread.
  if (run->is_large_) {
    const void* const model = run->model_->name;
    lock->unlock();
    bool is_elsewhere = false;
    try {
      is_elsewhere = submit_job(run, JobKind::kPreparation, model);
    } catch (const std::bad_alloc&) {
      // This thread prepares the run itself.
    }
    lock->lock();
    if (is_elsewhere) return;
  }
  start(run, lock);
}

// The rest of begin(), on any thread.
void Queue::start(QueuedRun* run, Lock* lock) noexcept {
  if (run->is_large_) waiting_deadlines_.erase({run->deadline_, run});
  const void* const model = run->model_->name;
  lock->unlock();
  std::exception_ptr failure;
  try {
    run->call_.submit_reserved(run->timeout_ns_, run->deadline_, run->has_waited_, run, model);
  } catch (...) {
    failure = std::current_exception();
  }
  lock->lock();
  if (failure != nullptr) {
    run->failure_ = failure;
    run->is_over_ = true;
    make_ready(run);
  } else {
    await(run);
  }
  state_changed_.notify_all();
}

// Lets a run that was started wait for progress.
void Queue::await(QueuedRun* run) noexcept {
  run->state_ = run->is_held_ ? State::kHeld : State::kStarted;
  if (run->state_ == State::kStarted && run->call_.is_polled()) {
    run->is_connecting_ = run->call_.is_connecting();
    list_of_polled(run)->push_back(run);
    // Events of the wait set that were taken meanwhile may have been about this run. A thread that
    // sleeps does not know that the run has to be polled.
    if (run->num_events_ != num_events_) run->has_progressed_ = true;
    wake_any();
  }
  if (run->has_progressed_ || run->is_cancelled_) make_ready(run);
}

void Queue::begin_turns(Lock* lock) noexcept {
  if (!task_deadlines_.empty()) end_late_tasks();
  const Clock::time_point now =
      waiting_deadlines_.empty() ? Clock::time_point::min() : Clock::now();
  while (!waiting_deadlines_.empty() && waiting_deadlines_.begin()->first <= now)
    withdraw(waiting_deadlines_.begin()->second, SIDECALL_TIMEOUT);
  while (ModelRuns* const runs = turns_.first()) {
    turns_.remove(runs);
    runs->has_turn = false;
    QueuedRun* const run = runs->waiting.first();
    if (run == nullptr) drop_if_unused(runs);
    if (run == nullptr || runs->num_started >= options_.max_started) continue;
    runs->waiting.remove(run);
    if (!run->is_large_) waiting_deadlines_.erase({run->deadline_, run});
    if (!runs->waiting.is_empty()) give_turn(runs);
    begin(run, lock);
  }
}

// Gives a model a turn if it may begin a waiting run. The models that have a turn begin one run
// each, one model after the other.
void Queue::give_turn(ModelRuns* runs) noexcept {
  if (runs->has_turn || runs->waiting.is_empty() || runs->num_started >= options_.max_started)
    return;
  runs->has_turn = true;
  turns_.push_back(runs);
}

// Ends a run that no thread has begun to start. Returns whether there was time for it.
bool Queue::withdraw(QueuedRun* run, int32_t status) noexcept {
  waiting_deadlines_.erase({run->deadline_, run});
  if (run->state_ == State::kWaiting) {
    run->model_->waiting.remove(run);
  } else if (run->state_ != State::kStarting || !run->is_large_ ||
             !withdraw_job(run, JobKind::kPreparation, run->model_->name)) {
    return false;
  }
  run->call_.release();
  try {
    run->failure_ = std::make_exception_ptr(
        status == SIDECALL_CANCELLED
            ? Error(status, "the run was cancelled before it began")
            : Error(status, "the deadline passed before the run began: the model had too many"));
  } catch (...) {
    run->failure_ = std::current_exception();
  }
  run->is_over_ = true;
  make_ready(run);
  return true;
}

// ---- Progress ----

// Lists a run as ready, so that a thread in take() reads its outcome.
void Queue::list_ready(QueuedRun* run) noexcept {
  if (run->state_ == State::kStarted && run->call_.is_polled()) list_of_polled(run)->remove(run);
  run->state_ = State::kReady;
  run->has_progressed_ = false;
  ready_.push_back(run);
}

// The same, and wakes a thread for it.
void Queue::make_ready(QueuedRun* run) noexcept {
  list_ready(run);
  wake_for(run);
}

// Called by a thread of the context.
void Queue::on_progress(QueuedRun* run) noexcept {
  const Lock lock(mutex_);
  run->has_progressed_ = true;
  if (run->state_ == State::kStarted || run->state_ == State::kHeld) make_ready(run);
}

void Queue::cancel(uint64_t number) noexcept {
  if (generation_ != fork_generation()) return;
  Lock lock(mutex_);
  if (end_task_early(number, SIDECALL_CANCELLED)) return;
  QueuedRun* const run = find(number);
  if (run == nullptr || run->is_cancelled_ || run->is_held_) return;
  run->is_cancelled_ = true;
  if (withdraw(run, SIDECALL_CANCELLED)) return;
  // In the other states, the thread that starts the run or reads its outcome sees is_cancelled_.
  if (run->state_ != State::kStarted) return;
  if (run->call_.is_polled()) list_of_polled(run)->remove(run);
  run->state_ = State::kStarting;  // so that it is not closed meanwhile
  run->num_events_ = num_events_;
  lock.unlock();
  run->call_.cancel();
  lock.lock();
  await(run);
  state_changed_.notify_all();
}

// ---- Completion ----

int64_t Queue::take(uint64_t number, int64_t capacity, int64_t wait_ns,
                    void (*put)(void* context, int64_t index, const Completion&), void* context) {
  require_own();
  const Clock::time_point until = wait_ns < 0    ? Clock::time_point::max()
                                  : wait_ns == 0 ? Clock::time_point::min()
                                                 : deadline_after(wait_ns);
  Lock lock(mutex_);
  const Taking taking(this, number);
  // A thread that waits for its own run must not disarm the queue of an event loop.
  if (was_armed_ && number == 0) {
    was_armed_ = is_armed_ = false;
    take_events();
  }
  int64_t count = 0;
  while (!is_closed_) {
    if (number == 0 || !has_end(number)) {
      look(Look::kWords);
      // Settle all runs that are ready, so that runs that wait for their turn can begin.
      while (!ready_.is_empty() && !is_closed_) read_outcome(ready_.first(), &lock);
      begin_turns(&lock);
    }
    while (QueuedRun* const run = count < capacity ? next_done(number) : nullptr)
      put(context, count++, complete(run));
    while (QueuedTask* const task = count < capacity ? next_done_task(number) : nullptr) {
      std::shared_ptr<QueuedTask> keeper;
      put(context, count++, complete(task, &keeper));
    }
    while (number == 0 && count < capacity && !events_.is_empty())
      put(context, count++, complete_event());
    if (count > 0) return count;
    if (number != 0 && find(number) == nullptr && find_task(number) == nullptr)
      throw Error(SIDECALL_NOT_RUN,
                  "run " + std::to_string(number) +
                      ": it has no completion to take: it was taken before, the call was closed, "
                      "or the queue never had such a run");
    if (wait_ns == 0 || (wait_ns > 0 && Clock::now() >= until)) {
      // Clears the handle, which became readable if a server hung up, or the timer expired, while
      // nothing was armed. Events that a sleeping thread waits for must stay.
      if (number == 0 && !has_polled() && !is_driven_) take_events();
      return 0;
    }
    if (ready_.is_empty()) wait(number, until, &lock);
  }
  throw Error(SIDECALL_CANCELLED, "the queue was closed");
}

QueuedRun* Queue::next_done(uint64_t number) const noexcept {
  if (number == 0) return done_.first();
  QueuedRun* const run = find(number);
  return run != nullptr && run->state_ == State::kDone ? run : nullptr;
}

// Reads the outcome of a run that is ready, if it has one. The mutex is unlocked meanwhile.
void Queue::read_outcome(QueuedRun* run, Lock* lock) noexcept {
  ready_.remove(run);
  run->state_ = State::kReading;
  run->has_progressed_ = false;
  run->num_events_ = num_events_;
  bool is_over = run->is_over_;
  if (!is_over) {
    const bool is_cancelled = run->is_cancelled_;
    // run->model_ may be invalid if this run is not counted.
    const bool others_wait = run->is_counted_ && !run->model_->waiting.is_empty();
    std::exception_ptr failure;
    lock->unlock();
    try {
      if (run->is_held_) {
        is_over = !run->call_.holds_memory();
      } else {
        if (is_cancelled) run->call_.cancel();
        is_over = run->call_.take_outcome();
        if (is_over && others_wait) run->call_.lend_connection_after_run();
      }
    } catch (...) {
      failure = std::current_exception();
      is_over = true;
    }
    const bool is_free = is_over && !run->call_.holds_memory();
    if (is_free) run->call_.stop_listening();
    lock->lock();
    if (is_over && !run->is_held_) {
      run->failure_ = failure;
      run->is_held_ = !is_free;
    } else if (is_over) {
      run->is_held_ = false;
      run->is_released_ = true;
    }
    if (run->is_cancelled_ != is_cancelled) run->has_progressed_ = true;
  }
  if (is_over) {
    run->status_ = status_of(run->failure_);
    run->has_outcome_.store(true, std::memory_order_release);
    run->is_cancelled_ = false;
    if (run->is_counted_) end_started(run);
    run->state_ = State::kDone;
    list_done(run);
    wake_for(run);
    if (looking_ == Looking::kNow) look_policy_.note(0);
    looking_ = Looking::kNotYet;
  } else {
    await(run);
  }
  state_changed_.notify_all();
}

// Lists a run as done. A thread that takes any completion must not get one that another thread
// waits for.
void Queue::list_done(QueuedRun* run) noexcept {
  run->is_set_aside_ = run->num_awaiting_ > 0;
  (run->is_set_aside_ ? set_aside_ : done_).push_back(run);
}

// Takes the completion of a run that is done.
Completion Queue::complete(QueuedRun* run) noexcept {
  unlist(run);
  const uint32_t flags = run->is_held_       ? Completion::kHeld
                         : run->is_released_ ? Completion::kReleased
                                             : 0U;
  const Completion completion{run->tag_,   run->number_, run->status_, flags,
                              run->owner_, nullptr,      nullptr,      nullptr};
  if (run->is_held_) await(run);
  else forget(run);
  return completion;
}

// The run no longer counts among those of its model that are under way.
void Queue::end_started(QueuedRun* run) noexcept {
  ModelRuns* const runs = run->model_;
  run->is_counted_ = false;
  --runs->num_started;
  give_turn(runs);
  drop_if_unused(runs);
}

void Queue::drop_if_unused(ModelRuns* runs) noexcept {
  if (runs->num_started == 0 && runs->waiting.is_empty() && !runs->has_turn)
    models_.erase(runs->name);
}

void Queue::forget(QueuedRun* run) noexcept {
  wake_owner(run->number_);  // a thread that waits for it, although another has taken it
  slots_[run->slot_] = nullptr;
  free_slots_.push_back(run->slot_);
  run->state_ = State::kIdle;
  run->call_.unreserve();
  run->is_submitted_.store(false, std::memory_order_release);
}

// ---- End ----

// Takes a run out of the list that it is in.
void Queue::unlist(QueuedRun* run) noexcept {
  if (run->state_ == State::kReady) ready_.remove(run);
  else if (run->state_ == State::kDone) (run->is_set_aside_ ? set_aside_ : done_).remove(run);
  else if (run->state_ == State::kStarted && run->call_.is_polled())
    list_of_polled(run)->remove(run);
}

void Queue::detach(QueuedRun* run) noexcept {
  {
    Lock lock(mutex_);
    if (run->state_ == State::kIdle) return;
    withdraw(run, SIDECALL_CANCELLED);
    state_changed_.wait(
        lock, [&] { return run->state_ != State::kReading && run->state_ != State::kStarting; });
    if (run->state_ == State::kIdle) return;
    unlist(run);
    if (run->is_counted_) end_started(run);
    forget(run);
    if (!turns_.is_empty()) wake_any();
  }
  run->call_.stop_listening();
}

bool Queue::close() noexcept {
  if (generation_ != fork_generation()) return false;
  decltype(tasks_) dropped;  // destroyed without the lock
  Lock lock(mutex_);
  is_closed_ = true;
  wake_all();
  state_changed_.wait(lock, [this] { return num_takers_ == 0; });
  for (QueuedRun* const& slot : slots_) {
    if (slot == nullptr) continue;
    withdraw(slot, SIDECALL_CANCELLED);
    state_changed_.wait(lock, [&] { return slot == nullptr || slot->state_ != State::kStarting; });
    QueuedRun* const run = slot;
    if (run == nullptr) continue;
    unlist(run);
    const bool is_under_way = run->state_ != State::kDone && !run->is_over_;
    run->state_ = State::kReading;
    if (is_under_way || run->is_held_) {
      lock.unlock();
      run->call_.stop_listening();
      run->call_.give_up();
      lock.lock();
    }
    if (run->is_counted_) end_started(run);
    forget(run);
    state_changed_.notify_all();
  }
  for (auto& [name, task] : tasks_) {
    task->is_over = true;
    if (task->is_listed) done_tasks_.remove(task.get());
  }
  task_deadlines_.clear();
  dropped.swap(tasks_);
  drop_events();
  wait_set_.reset();
  return true;
}

}  // namespace sidecall
