// Folds many elements into one. Used by reductions and by other operators that work along axes.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace sidecall::native {

struct Itself {
  template <typename T>
  T operator()(T x) const {
    return x;
  }
};

struct Plus {
  template <typename T>
  T operator()(T a, T b) const {
    return a + b;
  }
  template <typename T>
  static T start(T) {
    return T{0};
  }
};

struct Greater {
  template <typename T>
  bool operator()(T a, T b) const {
    return a > b;
  }
};
struct Less {
  template <typename T>
  bool operator()(T a, T b) const {
    return a < b;
  }
};

// The better of two elements. The first one wins if they are equal, or if one of them is NaN.
template <typename Better>
struct BetterOf {
  template <typename T>
  T operator()(T a, T b) const {
    return Better()(b, a) ? b : a;
  }
  template <typename T>
  static T start(T first) {
    return first;
  }
};

// Folds contiguous elements in the order in which Eigen does in ONNX Runtime: in packets of 16
// bytes, with two accumulators that take turns. The elements before the first and after the last
// aligned packet come at the end. `offset` is the index of x[0] in its tensor, whose start is
// aligned.
template <typename T, typename Term, typename Combine>
T fold_packets(const T* x, int64_t count, int64_t offset, Term term, Combine combine) {
  constexpr int64_t kLanes = 16 / sizeof(T);
  const int64_t begin = std::min((kLanes - offset % kLanes) % kLanes, count);
  const int64_t packets = (count - begin) / kLanes;
  if (packets == 0) {
    T total = term(x[0]);
    for (int64_t i = 1; i < count; ++i) total = combine(total, term(x[i]));
    return total;
  }
  const T* at = x + begin;
  std::array<T, 2 * kLanes> lanes{};
  for (size_t i = 0; i < kLanes; ++i) lanes[i] = term(at[i]);
  if (packets > 1) {
    for (size_t i = kLanes; i < 2 * kLanes; ++i) lanes[i] = term(at[i]);
    for (int64_t pair = 1; pair < packets / 2; ++pair) {
      const T* two = at + pair * 2 * kLanes;
      for (size_t i = 0; i < 2 * kLanes; ++i) lanes[i] = combine(lanes[i], term(two[i]));
    }
    for (size_t i = 0; i < kLanes; ++i) lanes[i] = combine(lanes[i], lanes[i + kLanes]);
    if (packets % 2 != 0) {
      const T* last = at + (packets - 1) * kLanes;
      for (size_t i = 0; i < kLanes; ++i) lanes[i] = combine(lanes[i], term(last[i]));
    }
  }
  for (size_t half = kLanes / 2; half > 0; half /= 2) {
    for (size_t i = 0; i < half; ++i) lanes[i] = combine(lanes[i], lanes[i + half]);
  }
  T total = lanes[0];
  for (int64_t i = 0; i < begin; ++i) total = combine(total, term(x[i]));
  for (int64_t i = begin + packets * kLanes; i < count; ++i) total = combine(total, term(x[i]));
  return total;
}

}  // namespace sidecall::native
