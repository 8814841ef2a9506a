// How long to poll before sleeping: adaptive, never on one CPU, never on the peer's own. Used by the client's wait and the server's engine threads.
#pragma once

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "socket.h"

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
               : "m"(*static_cast<const char*>(
                   at)));  // the builtin asks for it to read, unless told that every CPU has this
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

// What Pace asks of the machine. Tests give it another.
struct Machine {
  static int64_t now() noexcept { return now_ns(); }
  static void yield() noexcept { sched_yield(); }
  static uint32_t cpu() noexcept { return my_cpu(); }
  static int64_t override_ns() noexcept { return spin_override_ns(); }
  static int allowed_cpus() noexcept;  // by affinity, of the thread that asked first
  static int paid_cpus() noexcept;     // by quota
  static std::atomic<int>
      waiting;  // threads of this process that wait and found out that it takes long. No partner: a hint.
};

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
template <class M>
class BasicPace {
 public:
  static constexpr int64_t kSpin = 100 * 1000;
  static constexpr int64_t kMostWait = 2 * 1000 * 1000;  // of a wait in which others took turns
  static constexpr int64_t kFirstTurn =
      5 * 1000;  // after this much polling of an own CPU it is offered now and then
  static constexpr int64_t kTurnCost = 500;   // of a yield that let others run, to this thread
  static constexpr int64_t kWorkPerTurn = 5;  // times what the last turn took
  static constexpr int64_t kLeastWork = 15 * 1000;  // between turns
  static constexpr int64_t kTooLong =
      1000 * 1000;  // about a time slice of the scheduler, more than a round of a few clients
  static constexpr int64_t kTooLongEach =
      16 *
      1000;  // more for each thread that waits: all have their turns in between, and the server
  static constexpr uint32_t kMostLearnt = 10;

  BasicPace() = default;
  BasicPace(const BasicPace&) = delete;
  BasicPace& operator=(const BasicPace&) = delete;
  ~BasicPace() { count(false); }

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
  static int64_t too_long() noexcept;
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

template <class M>
bool BasicPace<M>::begin(uint32_t peer_cpu, int32_t fixed_us) noexcept {
  const int64_t override_ns = M::override_ns();
  const int64_t fixed_ns = override_ns >= 0 ? override_ns : int64_t{fixed_us} * 1000;
  const bool adapts = fixed_ns < 0;
  count(false);
  start_ns_ = given_ns_ = 0;
  budget_ns_ = adapts ? kSpin : fixed_ns;
  is_near_ = peer_cpu != 0 && peer_cpu == M::cpu();
  counts_ = gives_turns_ = false;
  if (!adapts) return fixed_ns > 0 && !is_near_;
  // A process that is pinned to one CPU may poll for a peer that runs on another.
  if (M::paid_cpus() < 2 || (M::allowed_cpus() < 2 && peer_cpu == 0)) return false;
  if (skip_ > 0) {
    --skip_;
    return false;
  }
  gives_turns_ = forgo_ == 0;
  if (forgo_ > 0) --forgo_;
  counts_ = gives_turns_ || !(is_near_ || is_shared_);
  return counts_;
}

template <class M>
bool BasicPace<M>::rest(int64_t* now) noexcept {
  *now = M::now();
  if (start_ns_ == 0) {
    start_ns_ = *now;
    next_turn_ns_ = *now + kFirstTurn;
  }
  if (gives_turns_ && (is_near_ || is_shared_ || *now >= next_turn_ns_) &&
      (has_company() || is_near_)) {
    const int64_t limit = too_long();
    const int64_t took = yield(*now);
    *now += took;
    next_turn_ns_ = *now + kFirstTurn;
    if (is_shared_) given_ns_ += took - kTurnCost;
    // Nobody took it: the peer has moved, or does not want to run, and where it can be here only it will not while this thread looks.
    const bool is_idle = is_near_ && !is_shared_;
    if (took > limit || (is_idle && M::allowed_cpus() < 2)) {
      count(false);
      counts_ = false;
      return false;
    }
    if (is_idle) is_near_ = false;
  }
  const int64_t waited = *now - start_ns_;
  const bool goes_on = waited - given_ns_ < budget_ns_ && (given_ns_ == 0 || waited < kMostWait);
  if (!goes_on) count(false);  // asleep it is nobody's company
  return goes_on;
}

template <class M>
int64_t BasicPace<M>::yield(int64_t before) noexcept {
  const int64_t limit = too_long();
  M::yield();
  const int64_t took = M::now() - before;
  least_yield_ns_ = std::min(least_yield_ns_, took);
  is_shared_ = took > 2 * least_yield_ns_;  // two switches of thread
  if (took > limit) {
    losses_ = std::min(losses_ + 2, kMostLearnt);
    forgo_ = (1u << losses_) - 1;
  } else if (losses_ > 0) {
    --losses_;
  }
  return took;
}

template <class M>
int64_t BasicPace<M>::too_long() noexcept {
  return std::min(kTooLong + kTooLongEach * M::waiting.load(std::memory_order_relaxed), kMostWait);
}

template <class M>
void BasicPace<M>::give_turn(int64_t now, int32_t fixed_us) noexcept {
  if (now < next_gift_ns_ || M::override_ns() >= 0 || fixed_us >= 0 || M::paid_cpus() < 2) return;
  int64_t took = 0;
  if (forgo_ == 0) took = yield(M::now());
  else --forgo_;
  next_gift_ns_ = now + took + std::max(kLeastWork, kWorkPerTurn * took);
}

// Alone in its process a thread does not offer its CPU: others may keep it for longer than the answer takes.
template <class M>
bool BasicPace<M>::has_company() noexcept {
  count(true);
  return M::waiting.load(std::memory_order_relaxed) > 1;
}

template <class M>
void BasicPace<M>::count(bool is_waiting) noexcept {
  if (is_waiting == is_counted_) return;
  is_counted_ = is_waiting;
  M::waiting.fetch_add(is_waiting ? 1 : -1, std::memory_order_relaxed);
}

template <class M>
void BasicPace<M>::note(int64_t ns) noexcept {
  count(false);
  if (!counts_) return;
  counts_ = false;
  misses_ = ns <= kSpin ? 0 : std::min(misses_ + 1, kMostLearnt);
  skip_ = (1u << misses_) - 1;
}

using Pace = BasicPace<Machine>;
extern template class BasicPace<Machine>;

}  // namespace sidecall::shm
