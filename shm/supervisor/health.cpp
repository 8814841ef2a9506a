// Finds the workers that hang, and says whether a supervisor is ready; see supervisor.h.
#include <algorithm>
#include <mutex>

#include "impl.h"

namespace sidecall::shm {
namespace {

// A worker that has not answered a connection for this long counts as hung. fork() waits for
// threads that open models, but not as long as this.
constexpr int64_t kHungNs = INT64_C(15) * 1000 * 1000 * 1000;
// A worker reports a run that exceeds its limit within milliseconds, unless it is stopped. After
// this time the supervisor does not wait for the report.
constexpr int64_t kUnconfirmedNs = INT64_C(1000) * 1000 * 1000;
// How often a worker updates its activity while runs are under way.
constexpr int64_t kActivityNs = INT64_C(5) * 1000 * 1000;

}  // namespace

int32_t Supervisor::Impl::count_ready() const {
  return static_cast<int32_t>(std::count_if(workers_.begin(), workers_.end(),
                                            [](const auto& pair) { return pair.second.is_ready; }));
}

int32_t Supervisor::Impl::num_ready() const {
  const std::lock_guard lock(mutex_);
  return count_ready();
}

bool Supervisor::Impl::was_ready(int32_t number) const {
  const std::lock_guard lock(mutex_);
  return were_ready_.count(number) > 0;
}

int32_t Supervisor::Impl::num_answering() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int32_t>(std::count_if(workers_.begin(), workers_.end(), [](const auto& each) {
    return each.second.is_ready && !is_silent(each.second, kSlowNs);
  }));
}

int32_t Supervisor::Impl::hung() {
  const std::lock_guard lock(mutex_);
  int32_t first = -1;
  for (auto& [number, worker] : workers_) {
    worker.is_hung = is_silent(worker, kHungNs);
    if (worker.is_hung && first < 0) first = number;
  }
  return first;
}

Supervisor::LongRuns Supervisor::Impl::long_runs() {
  LongRuns found;
  const int64_t limit = options_.max_run_ns, half = limit / 2;
  if (limit == INT64_MAX) return found;
  const std::lock_guard lock(mutex_);
  const int64_t now = now_ns();
  found.next_ns = half;  // a run that begins now cannot be late earlier
  for (auto& [number, worker] : workers_) {
    const int64_t began = oldest_run(worker);
    if (began == 0) continue;
    const int64_t took = now - began;
    const bool has_overrun =
        activity_of(worker)->overran_ns.load(std::memory_order_relaxed) == began ||
        took - limit > kUnconfirmedNs;
    if (has_overrun && found.overran < 0) {
      worker.is_hung = true;
      found.overran = number;
      found.overran_ns = took;
    }
    if (!has_overrun && took >= half) ++found.num_late;
    const int64_t left = has_overrun ? 0 : (took < half ? half : limit) - took;
    found.next_ns = std::min(found.next_ns, std::max(left, kActivityNs));
  }
  return found;
}

uint64_t Supervisor::Impl::num_hung() const {
  const std::lock_guard lock(mutex_);
  return num_hung_;
}

bool Supervisor::Impl::is_ready() const {
  const std::lock_guard lock(mutex_);
  return count_ready() > 0 && !is_stalled();
}

const Activity* Supervisor::Impl::activity_of(const Worker& worker) const noexcept {
  return worker.row ? &memory_.activity(*worker.row) : nullptr;
}

int64_t Supervisor::Impl::oldest_run(const Worker& worker) const noexcept {
  const Activity* const activity = activity_of(worker);
  return activity == nullptr ? 0 : activity->oldest_ns.load(std::memory_order_relaxed);
}

bool Supervisor::Impl::is_silent(const Worker& worker, int64_t for_ns) noexcept {
  return worker.unanswered_since_ns != 0 && now_ns() - worker.unanswered_since_ns > for_ns;
}

bool Supervisor::Impl::is_late(const Worker& worker) const noexcept {
  const int64_t began = oldest_run(worker);
  return began != 0 && now_ns() - began >= options_.max_run_ns / 2;
}

// Whether runs wait while no ready worker is idle or has recently ended a run.
bool Supervisor::Impl::is_stalled() const {
  const int64_t now = now_ns();
  uint64_t num_waiting = num_unassigned_;
  for (const auto& [number, worker] : workers_) {
    if (!worker.is_ready) continue;
    const bool is_without_answer = is_silent(worker, options_.unready_after_ns);
    const Activity* const activity = activity_of(worker);
    const bool is_busy = activity != nullptr && activity->is_busy(now, options_.unready_after_ns);
    if (!is_busy && !is_without_answer) return false;
    if (is_without_answer) ++num_waiting;
    if (is_busy) num_waiting += activity->num_waiting.load(std::memory_order_relaxed);
  }
  return num_waiting > 0;
}

}  // namespace sidecall::shm
