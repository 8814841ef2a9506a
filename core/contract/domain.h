// The numbers that a feature accepts, if its model does not accept all of them. Part of
// signature.h.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace sidecall {

// A closed interval: both ends belong to it.
template <typename Number>
struct Interval {
  Number low;
  Number high;
};

// The intervals ascend and are disjoint; their ends are numbers of the tensor's element type.
// Without intervals, every number is accepted. `nullable` alone decides whether NaN is accepted.
struct Domain {
  std::vector<Interval<double>> numbers;    // of a floating-point tensor
  std::vector<Interval<int64_t>> integers;  // of an int64 tensor

  bool exists() const { return !numbers.empty() || !integers.empty(); }
  bool has_holes() const { return numbers.size() + integers.size() > 1; }
  bool holds(double value) const { return numbers.empty() || is_in(numbers, value); }
  bool holds(int64_t value) const { return integers.empty() || is_in(integers, value); }

 private:
  template <typename Number>
  static bool is_in(const std::vector<Interval<Number>>& intervals, Number value) {
    const auto found = std::partition_point(
        intervals.begin(), intervals.end(),
        [value](const Interval<Number>& interval) { return interval.high < value; });
    return found != intervals.end() && found->low <= value;
  }
};

}  // namespace sidecall
