// Runs the checks of servers on a thread; see verifier.h.
#include "verifier.h"

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "base/process/fork_generation.h"
#include "base/process/signals_blocked.h"

namespace sidecall {

struct Verifier::State {
  const uint64_t generation = fork_generation();
  std::atomic<bool> is_running{false};
  std::mutex mutex;  // guards the rest
  std::condition_variable changed;
  bool is_stopped = false;
  Check check;
};

Verifier::Verifier() : state_(std::make_shared<State>()) {}

Verifier::~Verifier() {
  if (state_->generation != fork_generation()) return;  // the mutex may be locked for ever here
  const std::lock_guard lock(state_->mutex);
  state_->is_stopped = true;
  state_->changed.notify_all();
}

void Verifier::set_check(Check check) {
  const std::lock_guard lock(state_->mutex);
  state_->check = std::move(check);
}

void Verifier::start() noexcept {
  if (state_->is_running.load(std::memory_order_relaxed)) return;
  try {
    const std::lock_guard lock(state_->mutex);
    if (state_->is_running.load(std::memory_order_relaxed) || state_->check == nullptr) return;
    const SignalsBlocked blocked;
    std::thread([state = state_] { run(state); }).detach();
    state_->is_running.store(true, std::memory_order_relaxed);
  } catch (const std::exception&) {
    // Without a thread the next run tries again.
  }
}

void Verifier::run(const std::shared_ptr<State>& state) noexcept {
  for (;;) {
    std::optional<Clock::time_point> next = Clock::now() + std::chrono::seconds(1);
    try {
      next = state->check();
    } catch (const std::exception&) {
      // Without memory it is tried again after a second.
    }
    std::unique_lock lock(state->mutex);
    if (!next || *next == Clock::time_point::max()) {
      state->is_running.store(false, std::memory_order_relaxed);
      return;
    }
    state->changed.wait_until(lock, *next, [&] { return state->is_stopped; });
    if (state->is_stopped) return;
  }
}

}  // namespace sidecall
