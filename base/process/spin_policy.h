// Decides how long a thread polls before it sleeps. The policy is adaptive: it does not poll if the
// process has only one CPU, and it yields if the peer runs on the same CPU. Used by clients that
// wait for an answer, and by the threads of servers.
#pragma once

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace sidecall {

// Called between two reads of a word that another core writes.
inline void relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

// 1 + the number of the CPU that this thread runs on, or 0 if unknown: the value of the field `cpu`
// in requests and responses. Takes a few nanoseconds.
inline uint32_t my_cpu() noexcept { return static_cast<uint32_t>(sched_getcpu() + 1); }

// The variable SIDECALL_SPIN_US, read once. -1: not set, adaptive polling. 0: never poll.
// Otherwise: always poll, for up to that many microseconds (returned in nanoseconds).
int64_t spin_override_ns() noexcept;

// How many CPUs this process may keep busy, by its affinity and by the quota of its cgroups.
// Determined once.
int usable_cpus() noexcept;

// How long a thread that looks at many calls polls before it sleeps; 0 if it should not poll.
int64_t polling_ns() noexcept;

// The functions of the operating system that BasicSpinPolicy uses. Tests replace them.
struct Machine {
  static int64_t now() noexcept;  // of CLOCK_MONOTONIC, in nanoseconds
  static void yield() noexcept { sched_yield(); }
  static uint32_t cpu() noexcept { return my_cpu(); }
  static int64_t override_ns() noexcept { return spin_override_ns(); }
  static int allowed_cpus() noexcept;  // by the affinity of the thread that asked first
  static int paid_cpus() noexcept;     // by the cgroup quota
  // The number of threads of this process that have been waiting for some time. Relaxed, no
  // partner: only a hint.
  static std::atomic<int> waiting;
};

// The spin policy: decides how one side waits before it sleeps, and learns from earlier waits.
// Each channel, each engine thread, each thread of a network server and the driver of the network
// client have their own object; it is not shared between threads.
//
// If the peer runs on another CPU, the thread polls. If the peer runs on the same CPU, or other
// threads of the process wait for their answers there, the thread calls sched_yield between two
// reads of the word. Waiting then takes no CPU time from the others, and the kernel does not have
// to wake a thread up. The duration of the yield shows whether another thread ran. After a yield
// that took too long, the thread does not yield in the next waits. Where it would have yielded, it
// sleeps at once, because a sleeping thread gets the CPU back sooner.
//
// One wait polls for at most its budget, not counting the time in which other threads ran. If the
// answer did not come within that time, the next wait does not poll; after a second failure the
// next 3 waits do not poll, then 7, and so on up to 1023. A slow peer therefore costs almost no
// polling. After the first success every wait polls again.
template <class M>
class BasicSpinPolicy {
 public:
  // All times are in nanoseconds. kSpin: the budget, if the owner does not choose one.
  static constexpr int64_t kSpin = 100 * 1000;
  // Upper limit of a wait that polls, including the time in which other threads ran.
  static constexpr int64_t kMaxWait = 2 * 1000 * 1000;
  // If the peer runs on another CPU, the thread yields to other waiting threads of the process each
  // time that it has polled for this long.
  static constexpr int64_t kYieldInterval = 5 * 1000;
  // The part of such a yield that is this thread's own cost and not time given to others.
  static constexpr int64_t kYieldCost = 500;
  // yield_between_answers() yields again after kWorkPerYield times the duration of its last yield,
  // and at the earliest after kMinWork.
  static constexpr int64_t kWorkPerYield = 5;
  static constexpr int64_t kMinWork = 15 * 1000;
  // A yield that takes longer than this counts as too long. This is about a time slice of the
  // scheduler, and longer than a round in which a few clients run once each.
  static constexpr int64_t kLongYield = 1000 * 1000;
  // Added to kLongYield for each thread that waits, because each of them, and the server, runs
  // meanwhile.
  static constexpr int64_t kLongYieldPerThread = 16 * 1000;
  // Limit of the learned exponents: at most 2^10 - 1 waits are skipped.
  static constexpr uint32_t kMaxExponent = 10;

  // `budget_ns`: how long one wait polls.
  explicit BasicSpinPolicy(int64_t budget_ns = kSpin) noexcept : adaptive_ns_(budget_ns) {}
  BasicSpinPolicy(const BasicSpinPolicy&) = delete;
  BasicSpinPolicy& operator=(const BasicSpinPolicy&) = delete;
  ~BasicSpinPolicy() { count(false); }

  // Starts a wait. Returns false if the thread should sleep at once. `peer_cpu` is 1 + the number
  // of the peer's CPU, or 0 if it is unknown. `fixed_us` is the polling time in microseconds, as in
  // ServerOptions::spin_us; a negative value means adaptive polling.
  bool begin(uint32_t peer_cpu, int32_t fixed_us = -1) noexcept;

  // Whether the thread yields in this wait because of other threads on its CPU. is_peer_here: the
  // peer runs here. is_cpu_shared: the peer, or any other thread, runs here.
  bool is_peer_here() const noexcept { return may_yield_ && is_peer_here_; }
  bool is_cpu_shared() const noexcept { return may_yield_ && (is_peer_here_ || other_thread_ran_); }

  // Called between polls. Returns false when the thread has polled long enough; it then reads the
  // word once more before it sleeps. `now` receives the present time.
  bool rest(int64_t* now) noexcept;

  // Ends the wait. `ns` is how long the answer took, or 0 if the thread saw the answer while it
  // polled. If `ns` is more than a wait polls, polling counts as failed.
  void note(int64_t ns) noexcept;

  // Called by a server between two answers if peers run, or may run, on this CPU: yields, so that
  // they can read their answers. While there is work, this takes at most a sixth of the time.
  void yield_between_answers(int64_t now, int32_t fixed_us) noexcept;

 private:
  int64_t yield(int64_t before) noexcept;
  static int64_t long_yield() noexcept;
  bool other_threads_wait() noexcept;
  void count(bool is_waiting) noexcept;

  const int64_t adaptive_ns_;
  int64_t budget_ns_ = 0, start_ns_ = 0, next_yield_ns_ = 0;
  int64_t yielded_ns_ = 0;         // time in which other threads ran during this wait
  bool is_peer_here_ = false;      // the peer runs on this CPU
  bool other_thread_ran_ = false;  // another thread ran during the last yield
  bool may_yield_ = false;         // the thread may yield in this wait
  bool is_counted_ = false;        // this thread is counted in M::waiting
  bool counts_ = false;            // note() learns from the result of this wait
  int64_t least_yield_ns_ = 400;   // the shortest yield so far; 400 is a first guess
  int64_t next_server_yield_ns_ = 0;
  uint32_t failed_polls_ = 0, skip_ = 0;
  // long_yields_ grows with yields that took too long; waits_without_yield_ is the number of waits
  // to come without a yield.
  uint32_t long_yields_ = 0, waits_without_yield_ = 0;
};

template <class M>
bool BasicSpinPolicy<M>::begin(uint32_t peer_cpu, int32_t fixed_us) noexcept {
  const int64_t override_ns = M::override_ns();
  const int64_t fixed_ns = override_ns >= 0 ? override_ns : int64_t{fixed_us} * 1000;
  const bool adapts = fixed_ns < 0;
  count(false);
  start_ns_ = yielded_ns_ = 0;
  budget_ns_ = adapts ? adaptive_ns_ : fixed_ns;
  is_peer_here_ = peer_cpu != 0 && peer_cpu == M::cpu();
  counts_ = may_yield_ = false;
  if (!adapts) return fixed_ns > 0 && !is_peer_here_;
  // A process that is pinned to one CPU may poll for a peer that runs on another.
  if (M::paid_cpus() < 2 || (M::allowed_cpus() < 2 && peer_cpu == 0)) return false;
  if (skip_ > 0) {
    --skip_;
    return false;
  }
  may_yield_ = waits_without_yield_ == 0;
  if (waits_without_yield_ > 0) --waits_without_yield_;
  counts_ = may_yield_ || !(is_peer_here_ || other_thread_ran_);
  return counts_;
}

template <class M>
bool BasicSpinPolicy<M>::rest(int64_t* now) noexcept {
  *now = M::now();
  if (start_ns_ == 0) {
    start_ns_ = *now;
    next_yield_ns_ = *now + kYieldInterval;
  }
  if (may_yield_ && (is_peer_here_ || other_thread_ran_ || *now >= next_yield_ns_) &&
      (other_threads_wait() || is_peer_here_)) {
    const int64_t limit = long_yield();
    const int64_t took = yield(*now);
    *now += took;
    next_yield_ns_ = *now + kYieldInterval;
    if (other_thread_ran_) yielded_ns_ += took - kYieldCost;
    // No other thread ran during the yield: the peer has moved to another CPU, or it is not ready
    // to run. If this thread has only one CPU, polling for such a peer is useless, so stop.
    const bool is_idle = is_peer_here_ && !other_thread_ran_;
    if (took > limit || (is_idle && M::allowed_cpus() < 2)) {
      count(false);
      counts_ = false;
      return false;
    }
    if (is_idle) is_peer_here_ = false;
  }
  const int64_t waited = *now - start_ns_;
  const bool goes_on = waited - yielded_ns_ < budget_ns_ && (yielded_ns_ == 0 || waited < kMaxWait);
  if (!goes_on) count(false);  // a sleeping thread no longer counts as waiting
  return goes_on;
}

template <class M>
int64_t BasicSpinPolicy<M>::yield(int64_t before) noexcept {
  const int64_t limit = long_yield();
  M::yield();
  const int64_t took = M::now() - before;
  least_yield_ns_ = std::min(least_yield_ns_, took);
  // If another thread ran, the yield took two context switches.
  other_thread_ran_ = took > 2 * least_yield_ns_;
  if (took > limit) {
    long_yields_ = std::min(long_yields_ + 2, kMaxExponent);
    waits_without_yield_ = (1u << long_yields_) - 1;
  } else if (long_yields_ > 0) {
    --long_yields_;
  }
  return took;
}

template <class M>
int64_t BasicSpinPolicy<M>::long_yield() noexcept {
  return std::min(kLongYield + kLongYieldPerThread * M::waiting.load(std::memory_order_relaxed),
                  kMaxWait);
}

template <class M>
void BasicSpinPolicy<M>::yield_between_answers(int64_t now, int32_t fixed_us) noexcept {
  if (now < next_server_yield_ns_ || M::override_ns() >= 0 || fixed_us >= 0 || M::paid_cpus() < 2)
    return;
  int64_t took = 0;
  if (waits_without_yield_ == 0) took = yield(M::now());
  else --waits_without_yield_;
  next_server_yield_ns_ = now + took + std::max(kMinWork, kWorkPerYield * took);
}

// If no other thread of the process waits, do not yield: threads of other processes may keep the
// CPU for longer than the answer takes.
template <class M>
bool BasicSpinPolicy<M>::other_threads_wait() noexcept {
  count(true);
  return M::waiting.load(std::memory_order_relaxed) > 1;
}

template <class M>
void BasicSpinPolicy<M>::count(bool is_waiting) noexcept {
  if (is_waiting == is_counted_) return;
  is_counted_ = is_waiting;
  M::waiting.fetch_add(is_waiting ? 1 : -1, std::memory_order_relaxed);
}

template <class M>
void BasicSpinPolicy<M>::note(int64_t ns) noexcept {
  count(false);
  if (!counts_) return;
  counts_ = false;
  failed_polls_ = ns <= adaptive_ns_ ? 0 : std::min(failed_polls_ + 1, kMaxExponent);
  skip_ = (1u << failed_polls_) - 1;
}

using SpinPolicy = BasicSpinPolicy<Machine>;
extern template class BasicSpinPolicy<Machine>;

}  // namespace sidecall
