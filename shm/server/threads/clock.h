// CLOCK_MONOTONIC for a thread that reads it often: computed from the CPU's counter and a reading
// of the clock that is less than a millisecond old. Used by engine threads, which need the time
// twice per request.
#pragma once

#include <cstdint>

#include "shm/common/socket.h"

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace sidecall::shm {

class QuickClock {
 public:
  // Reads the clock itself if the last reading is too old, the counter went backwards, or its rate
  // is not known. If the counters of different CPUs disagree, or the rate changes, the result is
  // therefore wrong by at most one millisecond.
  int64_t now() noexcept {
    const uint64_t ticks = read_counter();
    const uint64_t since = ticks - anchor_ticks_;
    if (since < most_ticks_) return anchor_ns_ + static_cast<int64_t>(since * rate_ >> kShift);
    return look(ticks);
  }

 private:
  static constexpr int kShift = 24;                // rate_ is nanoseconds per tick << kShift
  static constexpr int64_t kMostNs = 1000 * 1000;  // age at which the clock is read again
  static constexpr int64_t kLeastNs = 20 * 1000;   // shortest time to measure the rate

  static uint64_t read_counter() noexcept {
#if defined(__x86_64__)
    return __rdtsc();
#elif defined(__aarch64__)
    uint64_t ticks;
    asm volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#else
    return 0;
#endif
  }

  int64_t look(uint64_t ticks) noexcept {
    const int64_t ns = now_ns();
    const int64_t ns_since = ns - anchor_ns_;
    const uint64_t ticks_since = ticks - anchor_ticks_;
    // Too short to measure the rate: keep the anchor.
    if (anchor_ns_ != 0 && ns_since < kLeastNs) return ns;
    if (anchor_ns_ != 0 && ticks_since > 0 && ticks_since < UINT64_C(1) << 38) {
      rate_ = (static_cast<uint64_t>(ns_since) << kShift) / ticks_since;
      most_ticks_ = rate_ == 0 ? 0 : (static_cast<uint64_t>(kMostNs) << kShift) / rate_;
    } else {
      most_ticks_ = 0;
    }
    anchor_ns_ = ns;
    anchor_ticks_ = ticks;
    return ns;
  }

  int64_t anchor_ns_ = 0;
  uint64_t anchor_ticks_ = 0;
  uint64_t rate_ = 0, most_ticks_ = 0;
};

}  // namespace sidecall::shm
