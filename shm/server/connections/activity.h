// What the threads of a server do at the moment. The control thread of a server writes it every few
// milliseconds while runs are under way. The server itself and, in a file that both map, the
// supervisor of a worker read it.
#pragma once

#include <atomic>
#include <cstdint>

namespace sidecall::shm {

// Times are those of CLOCK_MONOTONIC in nanoseconds. All accesses are relaxed: each member tells
// something on its own.
struct alignas(64) Activity {
  // When the oldest run that is under way began; 0 if there is none.
  std::atomic<int64_t> oldest_ns;
  // If all threads execute runs: when the youngest of these runs began. Otherwise 0.
  std::atomic<int64_t> busy_since_ns;
  // When the oldest run that exceeds the limit began; 0 if there is none. The run does not end
  // before the supervisor has had time to kill this process.
  std::atomic<int64_t> overran_ns;
  // How many requests wait for a thread. Counted only while all threads are busy for long.
  std::atomic<uint64_t> num_waiting;

  bool is_busy(int64_t now, int64_t for_ns) const noexcept {
    const int64_t since = busy_since_ns.load(std::memory_order_relaxed);
    return since != 0 && now - since >= for_ns;
  }
  void clear() noexcept {
    for (auto* time : {&oldest_ns, &busy_since_ns, &overran_ns})
      time->store(0, std::memory_order_relaxed);
    num_waiting.store(0, std::memory_order_relaxed);
  }
};
static_assert(sizeof(Activity) == 64, "a memory file holds an array of these (PROTOCOL.md)");

}  // namespace sidecall::shm
