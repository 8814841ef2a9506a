// The clock that all measurements use.
#pragma once

#include <cstdint>
#include <ctime>

namespace bench {

inline int64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

}  // namespace bench
