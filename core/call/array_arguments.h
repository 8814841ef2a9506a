// Checks the arrays that callers give to functions which set or read many values at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "core/error.h"

namespace sidecall {

// An array may be NULL if it is empty.
inline void require_array(const void* array, int64_t count, const char* message) {
  require(array != nullptr || count == 0, message);
}

// `known`: how many features or columns there are. `are_named`: the caller names the ones it means.
inline void require_count(int64_t count, size_t known, bool are_named) {
  if (are_named ? count >= 0 : count >= 0 && static_cast<uint64_t>(count) == known) return;
  throw Error(SIDECALL_INVALID_ARGUMENT, "count: expected " +
                                             (are_named ? "0 or more" : std::to_string(known)) +
                                             ", got " + std::to_string(count));
}

inline void require_rows(int64_t count, int64_t rows) {
  if (count == rows) return;
  throw Error(SIDECALL_INVALID_ARGUMENT, "count: expected " + std::to_string(rows) +
                                             ", the number of rows, got " + std::to_string(count));
}

// Index number `at` of those that the caller named; without names it is `at` itself.
inline int32_t index_at(const int32_t* named, int64_t at) {
  return named == nullptr ? static_cast<int32_t>(at) : named[at];
}

}  // namespace sidecall
