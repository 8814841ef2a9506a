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

// Looks, with relax() in between, before the next Pace::rest(): a look at the clock costs as much as a cache line's travel. One look where that waits for a turn.
constexpr int kLooks = 64;

// Decides how a side waits before it sleeps, and learns what pays. One per channel and per engine thread; not shared by threads.
//
// Where the peer runs on another CPU it polls. Where the peer runs on this one, or other threads of the process wait for their answers here, it gives them
// their turn between two looks (sched_yield): whoever waits robs nobody then, and nobody has to be woken up by the kernel. Whether somebody took the turn is
// told by the time that the yield takes. Where one keeps the CPU for long, no turns are given for a while: asleep one gets it back sooner.
//
// One wait polls for kSpin of its own CPU time at most, whatever others took meanwhile. What did not see the answer by then is skipped the next time, then three
// times, seven, ... up to a thousand, so that a peer that takes long costs next to nothing; the first success makes polling the rule again.
class Pace {
 public:
  static constexpr int64_t kSpin = 100 * 1000;

  Pace() = default;
  Pace(const Pace&) = delete;
  Pace& operator=(const Pace&) = delete;
  ~Pace() { count(false); }

  // Starts a wait. False: sleep at once. `peer_cpu` is that of descriptors; `fixed_us` as the spin_us of a server.
  bool begin(uint32_t peer_cpu, int32_t fixed_us = -1) noexcept;

  // Others on this CPU wait for their turn: the peer, or somebody.
  bool is_near() const noexcept { return gives_turns_ && is_near_; }
  bool is_crowded() const noexcept { return gives_turns_ && (is_near_ || is_shared_); }

  // False where polling has been enough; then look once more. `now` is the clock afterwards.
  bool rest(int64_t* now) noexcept;

  // What the wait was about came after so long; what polling saw came after 0.
  void note(int64_t ns) noexcept;

  // Between answers, where peers run on this CPU: lets them take theirs. While there is work, that is a sixth of the time at most.
  void give_turn(int64_t now, int32_t fixed_us) noexcept;

 private:
  int64_t yield(int64_t before) noexcept;
  bool has_company() noexcept;
  void count(bool is_waiting) noexcept;

  int64_t budget_ns_ = 0, start_ns_ = 0, next_turn_ns_ = 0;
  int64_t given_ns_ = 0;          // to others, in this wait
  bool is_near_ = false;          // the peer runs on this CPU
  bool is_shared_ = false;        // somebody else took the last turn
  bool gives_turns_ = false;      // in this wait
  bool is_counted_ = false;       // among the threads of the process that wait
  bool counts_ = false;           // what becomes of this wait is to be learnt from
  int64_t least_yield_ns_ = 400;  // of those seen, and a guess
  int64_t next_gift_ns_ = 0;
  uint32_t misses_ = 0, skip_ = 0;
  uint32_t losses_ = 0, forgo_ = 0;  // turns that took too long, and waits in which none is given
};

}  // namespace sidecall::shm
