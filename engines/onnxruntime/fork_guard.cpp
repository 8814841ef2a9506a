// The handlers that let fork() wait for all guards; see fork_guard.h.
#include "fork_guard.h"

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

namespace sidecall {
namespace {

// Held while a thread makes its first guard, and across fork(). So no thread makes one while fork()
// copies memory, and the child finds the mutex locked by its only thread.
std::mutex making;
std::atomic<int> num_threads{0};  // that have guards
thread_local int num_own_guards = 0;

void before_fork() {
  making.lock();
  const int num_own = num_own_guards > 0 ? 1 : 0;
  while (num_threads.load(std::memory_order_acquire) > num_own)
    std::this_thread::sleep_for(std::chrono::microseconds(50));
}

void after_fork() { making.unlock(); }

// Registered when the library is loaded. A local static object would not do: if another thread
// initialises it while this process forks, the child waits for ever.
[[maybe_unused]] const int registered = pthread_atfork(before_fork, after_fork, after_fork);

}  // namespace

// Only the outermost guard of a thread counts. An inner one must not wait for `making`, because a
// fork that waits for the outer one may hold it.
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
