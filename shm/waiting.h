// How long to poll before sleeping: adaptive, never on one CPU, never on the peer's own. Used by the client's wait and the server's engine threads.
#pragma once

#include <sched.h>

#include <cstdint>

namespace sidecall::shm {

// Between two looks at a word that another core writes.
inline void relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

// Ask for a line ahead of its use, to read it or to write it. Any address is harmless.
inline void fetch_to_read(const void* at) noexcept { __builtin_prefetch(at, 0, 3); }
inline void fetch_to_write(const void* at) noexcept {
#if defined(__x86_64__) || defined(__i386__)
  asm volatile("prefetchw %0"
               :
               : "m"(*static_cast<const char*>(at)));  // the builtin asks for it to read, unless told that every CPU has this
#else
  __builtin_prefetch(at, 1, 3);
#endif
}

// 1 + the CPU that this thread runs on, 0 unknown: what descriptors carry. Costs a few nanoseconds.
inline uint32_t my_cpu() noexcept { return static_cast<uint32_t>(sched_getcpu() + 1); }

// SIDECALL_SPIN_US, read once: -1 adaptive (not set), 0 never, else always, up to that many microseconds.
int64_t spin_override_ns() noexcept;

// How many CPUs this process may keep busy: affinity and the cgroups' cpu.max, looked at once.
int usable_cpus() noexcept;

// Polls between two looks at the clock. A look costs as much as a cache line's travel.
constexpr int kPollsPerClock = 64;

// Learns whether polling for the peer pays. One per channel; not shared by threads.
//
// Polling that did not see the peer's answer within kSpin is skipped the next time, then three times, seven, ... up to a thousand, so that a peer that
// takes long, or too many of them for the CPUs, cost next to nothing; the first success makes polling the rule again.
class Pace {
 public:
  static constexpr int64_t kSpin = 100 * 1000;

  // How long to poll this time; 0: sleep at once. `peer_cpu` as in descriptors; when it is this thread's own, polling would keep the peer from answering.
  int64_t spin_ns(uint32_t peer_cpu) noexcept;

  // What this time was about came after so long; what polling saw came after 0.
  void note(int64_t ns) noexcept;

 private:
  uint32_t misses_ = 0;
  uint32_t skip_ = 0;
  bool did_spin_ = false;
};

}  // namespace sidecall::shm
