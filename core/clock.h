// The monotonic clock of all deadlines.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>

namespace sidecall {

using Clock = std::chrono::steady_clock;

// Now plus `ns`, or the latest time point if that overflows.
inline Clock::time_point deadline_after(int64_t ns) noexcept {
  const Clock::time_point now = Clock::now();
  const auto left = std::numeric_limits<int64_t>::max() - now.time_since_epoch().count();
  return now + std::chrono::nanoseconds(ns < left ? ns : left);
}

// A time in nanoseconds of CLOCK_MONOTONIC.
inline int64_t ns_of(Clock::time_point time) noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

inline Clock::time_point time_point_of(int64_t ns) noexcept {
  return Clock::time_point(std::chrono::nanoseconds(ns));
}

}  // namespace sidecall
