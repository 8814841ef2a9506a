// The handlers that make fork() wait until no guard exists; see fork_guard.h.
#include "fork_guard.h"

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

namespace sidecall {
namespace {

using Clock = std::chrono::steady_clock;

// After this time fork() goes on, because its thread might hold a lock that the guarded code needs.
// For example, it holds the lock of the loader if a library forks while it is loaded.
constexpr std::chrono::seconds kLongestWait{10};

// Locked while a thread makes its outermost guard, and from before_fork() to after_fork(). So no
// thread makes such a guard while fork() copies memory. The only thread of the child is a copy of
// the one that locked the mutex, so it can unlock it.
std::mutex making;
std::atomic<int> num_threads{0};  // that have guards
thread_local int num_own_guards = 0;
thread_local int num_own_forks = 0;  // forks under way: 2 if a handler of another library forks

void before_fork() {
  if (++num_own_forks > 1) return;
  making.lock();
  const int num_own = num_own_guards > 0 ? 1 : 0;
  const Clock::time_point end = Clock::now() + kLongestWait;
  while (num_threads.load(std::memory_order_acquire) > num_own && Clock::now() < end)
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  // Handlers of other libraries may open models. Their guards do not wait for `making`.
  ++num_own_guards;
}

void after_fork() {
  if (--num_own_forks > 0) return;
  --num_own_guards;
  making.unlock();
}

void after_fork_in_child() {
  // If the wait reached its limit, other threads had guards. The child does not have these threads.
  if (num_own_forks == 1) num_threads.store(num_own_guards > 1 ? 1 : 0, std::memory_order_relaxed);
  after_fork();
}

// Registered when the library is loaded. A local static object would not do: if another thread
// initialises it while this process forks, the child waits for ever. If there is no memory to
// register the handlers, fork() does not wait.
[[maybe_unused]] const int registered =
    pthread_atfork(before_fork, after_fork, after_fork_in_child);

}  // namespace

// Only the outermost guard of a thread counts. An inner guard must not wait for `making`, because a
// fork() that waits for the outer guard may hold this mutex.
ForkGuard::ForkGuard() noexcept {
  if (++num_own_guards > 1) return;
  const std::lock_guard lock(making);
  num_threads.fetch_add(1, std::memory_order_relaxed);
}

ForkGuard::~ForkGuard() {
  if (--num_own_guards > 0) return;
  num_threads.fetch_sub(1, std::memory_order_release);
}

}  // namespace sidecall
