// Distributes connections and ticks; see engine_threads.h.
#include "engine_threads.h"

#include <algorithm>

#include "base/process/signals_blocked.h"

namespace sidecall::shm {

namespace {

// Interval of ticks while engine threads are busy. It bounds how late a handler learns that its
// client no longer waits.
constexpr int64_t kTick = 5 * 1000 * 1000;

// After this many ticks without a call the control thread sleeps until an engine thread wakes up.
constexpr int kQuietTicks = 20;

}  // namespace

void EngineThreads::start(uint32_t count, EngineOwner* owner, int32_t spin_us) {
  for (uint32_t i = 0; i < count; ++i)
    threads_.push_back(std::make_unique<EngineThread>(owner, spin_us));
  const SignalsBlocked blocked;
  for (const auto& thread : threads_) thread->start();
}

void EngineThreads::add_to(Status* status) const {
  status->workers = threads_.size();
  for (const auto& thread : threads_) {
    status->in_flight += thread->is_running() ? 1 : 0;
    status->add(thread->counters());
  }
}

EngineThread* EngineThreads::least_loaded() const noexcept {
  return std::min_element(threads_.begin(), threads_.end(),
                          [](const auto& a, const auto& b) {
                            return a->num_connections() < b->num_connections();
                          })
      ->get();
}

void EngineThreads::drain(Drain which) noexcept {
  if (which == Drain::kAll) is_draining_ = true;
  for (const auto& thread : threads_) thread->drain(which);
}

void EngineThreads::cut_off() noexcept {
  is_cut_off_ = true;
  for (const auto& thread : threads_) thread->cut_off();
  quiet_ticks_ = 0;  // keeps the ticks running until the last handler has returned
}

void EngineThreads::stop() noexcept {
  for (const auto& thread : threads_) thread->stop();
}

// Announces sleep, then looks at the threads. Partner: an engine thread stores that it is awake,
// then must_wake_control() loads the flag.
bool EngineThreads::is_active() noexcept {
  if (quiet_ticks_ < kQuietTicks) return true;
  is_deeply_asleep_.store(true, std::memory_order_seq_cst);
  if (std::none_of(threads_.begin(), threads_.end(),
                   [](const auto& thread) { return thread->is_awake(); }))
    return false;
  is_deeply_asleep_.store(false, std::memory_order_relaxed);
  return true;
}

bool EngineThreads::tick(int64_t now, Activity* activity) noexcept {
  if (now < next_tick_ns_) return false;
  next_tick_ns_ = now + kTick;
  uint64_t calls = 0;
  bool is_quiet = true, are_all_busy = true;
  int64_t oldest = 0, youngest = 0, overran = 0;
  for (const auto& thread : threads_) {
    bool has_overrun = false;
    const int64_t began = thread->tick(now, is_draining_ ? INT64_MAX : max_run_ns_, &has_overrun);
    if (is_cut_off_) thread->cut_off();
    calls += thread->counters().calls.value();
    is_quiet = is_quiet && !thread->is_awake();
    are_all_busy = are_all_busy && began != 0;
    if (began != 0 && (oldest == 0 || began < oldest)) oldest = began;
    youngest = std::max(youngest, began);
    // The supervisor compares it with the oldest run, so the oldest one counts here too.
    if (has_overrun && began != 0 && (overran == 0 || began < overran)) overran = began;
  }
  activity->oldest_ns.store(oldest, std::memory_order_relaxed);
  activity->overran_ns.store(overran, std::memory_order_relaxed);
  activity->busy_since_ns.store(are_all_busy ? youngest : 0, std::memory_order_relaxed);
  quiet_ticks_ = is_quiet && calls == calls_at_tick_ ? std::min(quiet_ticks_ + 1, kQuietTicks) : 0;
  calls_at_tick_ = calls;
  return true;
}

}  // namespace sidecall::shm
