// How threads wait for the runs of a queue; see queue.h. One of them, the driver, looks at the runs
// that have to be polled; the others sleep until a run is ready, or until the driver leaves.
#include <algorithm>
#include <thread>

#include "queue.h"

namespace sidecall {
namespace {

constexpr size_t kMostLooks = 64;  // runs that one short look checks
// Runs that are connecting have no word in shared memory, so looking at them takes system calls. A
// step looks at only a part of them, until one has news, so that many of them do not delay the
// answers of other runs.
constexpr size_t kConnectingParts = 20;
constexpr std::chrono::microseconds kConnectingStep{10};
constexpr int kRelaxes = 2;  // between two looks
// If no descriptors are left, the driver sleeps for this time and then looks again.
constexpr std::chrono::milliseconds kNap{1};

}  // namespace

// Looks for polled runs that may have an outcome, and lists them as ready. A look with kWords
// checks only some runs; the next one goes on where it stopped. Returns whether a run is ready.
bool Queue::look(Look what, Clock::time_point now) noexcept {
  const bool is_short = what == Look::kWords;
  look_at(&polled_, is_short ? kMostLooks : polled_.size(), SIZE_MAX, what, now);
  if (!connecting_.is_empty() && (!is_short || now >= next_connecting_step_)) {
    const size_t all = connecting_.size();
    if (is_short) look_at(&connecting_, all / kConnectingParts + 1, 1, what, now);
    else look_at(&connecting_, all, all, what, now);
    next_connecting_step_ = now + kConnectingStep;
  }
  return !ready_.is_empty();
}

bool Queue::look(Look what) noexcept {
  return look(what, has_polled() ? Clock::now() : Clock::time_point::min());
}

// Looks at the first `most` runs of the list, until `most_news` of them have news. If the list is
// longer, moves the runs without news to its end.
void Queue::look_at(LinkedList<QueuedRun>* list, size_t most, size_t most_news, Look what,
                    Clock::time_point now) noexcept {
  const bool is_partial = list->size() > most;
  QueuedRun* run = list->first();
  for (size_t i = 0; i < most && most_news > 0 && run != nullptr; ++i) {
    QueuedRun* const next = run->next;
    if (run->call_.has_news(what, now)) {
      list_ready(run);
      --most_news;
    } else if (is_partial) {
      list->remove(run);
      list->push_back(run);
    }
    run = next;
  }
}

void Queue::open_wait_set() {
  if (!wait_set_) wait_set_.emplace();
}

void Queue::take_events() noexcept {
  if (!wait_set_) return;
  const platform::WaitSet::Events events = wait_set_->take_events(has_sockets_);
  if (events.has_message) ++num_events_;
  if (events.has_hang_up) look(Look::kAll);
  else if (events.has_message) look(Look::kConnections);
}

// Asks all servers for a wake-up. Returns false if a run is ready already. Otherwise sets `until`
// to the time at which a run needs attention, if that is earlier.
bool Queue::prepare_sleep(Clock::time_point* until) {
  has_sockets_ = has_sockets_ || has_polled();
  const Clock::time_point now = has_polled() ? Clock::now() : Clock::time_point::min();
  for (LinkedList<QueuedRun>* const list : {&polled_, &connecting_}) {
    for (size_t left = list->size(); left > 0; --left) {
      QueuedRun* const run = list->first();
      const Clock::time_point next = run->call_.prepare_sleep(*wait_set_, number_);
      list->remove(run);
      list->push_back(run);
      if (next <= now) list_ready(run);
      else *until = std::min(*until, next);
    }
  }
  *until = std::min(*until, next_deadline());
  return ready_.is_empty();
}

void Queue::wait(uint64_t number, Clock::time_point until, Lock* lock) {
  if (has_polled() && !is_driven_) return drive(number, until, lock);
  until = std::min(until, next_deadline());
  Waiter waiter;
  waiter.number = number;
  waiters_.push_back(&waiter);
  const auto is_woken = [&] { return waiter.is_woken; };
  if (until == Clock::time_point::max()) waiter.changed.wait(*lock, is_woken);
  else waiter.changed.wait_until(*lock, until, is_woken);
  waiters_.remove(&waiter);
}

// Whether a thread need not wait for this number any more: its run or task is done, or is gone.
bool Queue::has_end(uint64_t number) const noexcept {
  if (number == 0) return has_done();
  if (const QueuedTask* const task = find_task(number)) return task->is_over;
  const QueuedRun* const run = find(number);
  return run == nullptr || run->state_ == State::kDone;
}

// The next deadline of the runs and tasks whose deadlines no engine watches.
Clock::time_point Queue::next_deadline() const noexcept {
  Clock::time_point next = Clock::time_point::max();
  if (!waiting_deadlines_.empty()) next = waiting_deadlines_.begin()->first;
  if (!task_deadlines_.empty()) next = std::min(next, task_deadlines_.begin()->first);
  return next;
}

void Queue::drive(uint64_t number, Clock::time_point until, Lock* lock) noexcept {
  is_driven_ = true;
  driver_number_ = number;
  if (!spin(number, until, lock)) {
    bool can_sleep = true;
    try {
      open_wait_set();
      can_sleep = prepare_sleep(&until) && !has_end(number);
    } catch (...) {
      until = std::min(until, Clock::now() + kNap);
      lock->unlock();
      std::this_thread::sleep_until(until);
      lock->lock();
      can_sleep = false;
      look(Look::kAll);
    }
    if (can_sleep && !is_closed_) {
      is_sleeping_ = true;
      lock->unlock();
      wait_set_->wait(until);
      lock->lock();
      is_sleeping_ = false;
      take_events();
    }
  }
  is_driven_ = false;
}

// Looks for a while, because most runs in another process end sooner than the kernel wakes a
// thread. Returns whether there is something to do.
bool Queue::spin(uint64_t number, Clock::time_point until, Lock* lock) noexcept {
  if (!spin_policy_.begin(0)) return false;
  bool has_work = false, goes_on = true;
  while (!has_work && goes_on) {
    lock->unlock();
    for (int i = 0; i < kRelaxes; ++i) relax();
    int64_t now = 0;
    goes_on = spin_policy_.rest(&now) && now < ns_of(until);
    lock->lock();
    has_work = look(Look::kWords, time_point_of(now)) || has_end(number) || !turns_.is_empty() ||
               is_closed_;
  }
  spin_policy_.note(has_work ? 0 : INT64_MAX);
  return has_work;
}

// ---- Who is woken ----

void Queue::wake(Waiter* waiter) noexcept {
  waiter->is_woken = true;
  waiter->changed.notify_one();
}

// Wakes the threads that wait for this run only.
void Queue::wake_owner(uint64_t number) noexcept {
  for (Waiter* each = waiters_.first(); each != nullptr; each = each->next)
    if (each->number == number) wake(each);
  if (is_sleeping_ && driver_number_ == number) signal();
}

// A run is ready or done: wakes a thread that can go on with it. For a run that is ready, any
// thread will do: it reads the outcome, and then wakes the thread that waits for it.
void Queue::wake_for(const QueuedRun* run) noexcept {
  const bool is_ready = run->state_ == State::kReady;
  if (!is_ready && run->is_set_aside_) wake_owner(run->number_);
  else wake_taker(run->number_, is_ready);
}

void Queue::wake_for(const QueuedTask* task) noexcept {
  if (task->is_listed) wake_taker(task->number, false);
  else wake_owner(task->number);
}

// Wakes the thread that waits for this number, or one that takes any completion, or, if
// `is_ready`, any thread.
void Queue::wake_taker(uint64_t number, bool is_ready) noexcept {
  Waiter* best = nullptr;
  for (Waiter* each = waiters_.first(); each != nullptr; each = each->next) {
    const bool is_owner = each->number == number;
    if (is_owner || (best == nullptr && (is_ready || each->number == 0))) best = each;
    if (is_owner) break;
  }
  if (best != nullptr) wake(best);
  else if (is_sleeping_ || is_armed_) signal();
}

void Queue::signal() noexcept {
  is_sleeping_ = is_armed_ = false;
  wait_set_->signal();
}

// Wakes one thread that waits in take(), or the program that waits for the handle, if no thread
// looks after the queue at present.
void Queue::wake_any() noexcept {
  if (is_sleeping_ || is_armed_) {
    signal();
  } else if (!is_driven_ && !waiters_.is_empty()) {
    wake(waiters_.first());
  }
}

void Queue::wake_all() noexcept {
  for (Waiter* each = waiters_.first(); each != nullptr; each = each->next) wake(each);
  if (wait_set_) wait_set_->signal();
}

Queue::Taking::Taking(Queue* queue, uint64_t number) : queue_(*queue), number_(number) {
  ++queue_.num_takers_;
  if (QueuedRun* const run = queue_.find(number_)) ++run->num_awaiting_;
  if (QueuedTask* const task = queue_.find_task(number_)) ++task->num_awaiting;
}

Queue::Taking::~Taking() {
  QueuedRun* const run = queue_.find(number_);
  if (run != nullptr && --run->num_awaiting_ == 0 && run->is_set_aside_ &&
      run->state_ == State::kDone) {
    queue_.unlist(run);
    queue_.list_done(run);
  }
  QueuedTask* const task = queue_.find_task(number_);
  if (task != nullptr && --task->num_awaiting == 0 && task->is_over) queue_.list_done(task);
  queue_.end_taking();
}

// A thread leaves take(): wakes another thread if there is work that this thread would have done.
void Queue::end_taking() noexcept {
  --num_takers_;
  if (is_closed_) state_changed_.notify_all();
  if (!ready_.is_empty()) wake_for(ready_.first());
  else if (!done_.is_empty()) wake_for(done_.first());
  else if (!done_tasks_.is_empty()) wake_for(done_tasks_.first());
  else if (!events_.is_empty()) wake_taker(0, false);
  else if (has_polled() || !turns_.is_empty() || next_deadline() != Clock::time_point::max())
    wake_any();
  // This thread may have taken the event that made the handle readable.
  if (was_armed_ && (!ready_.is_empty() || has_done())) wait_set_->signal();
}

// ---- Event loops ----

int Queue::handle() {
  require_own();
  const Lock lock(mutex_);
  open_wait_set();
  return wait_set_->fd();
}

int64_t Queue::arm() {
  require_own();
  const Lock lock(mutex_);
  open_wait_set();
  if (look(Look::kWords) || has_done() || !turns_.is_empty()) return 0;
  if (has_polled() && looking_ == Looking::kNotYet && look_policy_.begin(0)) {
    looking_ = Looking::kNow;
    look_until_ = Clock::now() + std::chrono::nanoseconds(polling_ns());
  }
  if (looking_ == Looking::kNow && has_polled()) {
    const int64_t left_ns = std::chrono::nanoseconds(look_until_ - Clock::now()).count();
    if (left_ns > 0) return left_ns;
    look_policy_.note(INT64_MAX);
  }
  looking_ = Looking::kEnough;
  if (has_polled()) take_events();  // clears old events
  Clock::time_point until = Clock::time_point::max();
  if (!prepare_sleep(&until)) return 0;
  if (until != Clock::time_point::max()) wait_set_->set_timer(until);
  is_armed_ = was_armed_ = true;
  return -1;
}

}  // namespace sidecall
