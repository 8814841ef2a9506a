// Finds the indices of the smallest or greatest elements, as TopK defines them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include "fold.h"

namespace sidecall::native {

// Compares indices of `x` by their elements, the better one first, and equal elements by index. NaN
// counts as greater than all numbers.
template <typename T, typename Better>
class Ranking {
 public:
  explicit Ranking(const T* x) : x_(x) {}

  bool operator()(int64_t left, int64_t right) const {
    const T a = x_[left], b = x_[right];
    if (Better()(a, b)) return true;
    if (a == b) return left < right;
    if constexpr (std::is_floating_point_v<T>) {
      if (std::isnan(a) && std::isnan(b)) return left < right;
      if (std::isnan(a)) return std::is_same_v<Better, Greater>;
      if (std::isnan(b)) return std::is_same_v<Better, Less>;
    }
    return false;
  }

 private:
  const T* x_;
};

// Finds the first `k` indices of a ranking. If they need not be sorted, they come in the order of
// ONNX Runtime: that of a heap if `k` is small, otherwise that in which std::nth_element leaves
// them.
class BestIndices {
 public:
  BestIndices(int64_t count, int64_t k, bool is_sorted)
      : count_(count),
        k_(k),
        is_sorted_(is_sorted),
        uses_heap_(k < 4 ||
                   std::log2(static_cast<double>(k)) / std::log2(static_cast<double>(count)) <
                       0.725),
        positions_(static_cast<size_t>(uses_heap_ ? k : count)) {}

  template <typename Before>
  const int64_t* select(const Before& before) {
    if (k_ == 1) select_one(before);
    else if (uses_heap_) select_by_heap(before);
    else select_by_partition(before);
    if (is_sorted_ && k_ > 1) std::sort(positions_.begin(), positions_.begin() + k_, before);
    return positions_.data();
  }

 private:
  template <typename Before>
  void select_one(const Before& before) {
    int64_t best = 0;
    for (int64_t i = 1; i < count_; ++i) best = before(i, best) ? i : best;
    positions_[0] = best;
  }

  // The root of the heap is the worst of the indices found so far.
  template <typename Before>
  void select_by_heap(const Before& before) {
    for (int64_t i = 0; i < k_; ++i) positions_[static_cast<size_t>(k_ - 1 - i)] = i;
    for (int64_t i = k_ / 2; i-- > 0;) sift_down(i, before);
    for (int64_t i = k_; i < count_; ++i) {
      if (!before(i, positions_[0])) continue;
      positions_[0] = i;
      sift_down(0, before);
    }
  }

  template <typename Before>
  void sift_down(int64_t at, const Before& before) {
    int64_t* heap = positions_.data();
    for (int64_t child = 2 * at + 1; child < k_; child = 2 * at + 1) {
      if (child + 1 < k_ && before(heap[child], heap[child + 1])) ++child;
      if (!before(heap[at], heap[child])) return;
      std::swap(heap[at], heap[child]);
      at = child;
    }
  }

  template <typename Before>
  void select_by_partition(const Before& before) {
    for (int64_t i = 0; i < count_; ++i) positions_[static_cast<size_t>(i)] = i;
    std::nth_element(positions_.begin(), positions_.begin() + (k_ - 1), positions_.end(), before);
  }

  int64_t count_, k_;
  bool is_sorted_, uses_heap_;
  std::vector<int64_t> positions_;
};

}  // namespace sidecall::native
