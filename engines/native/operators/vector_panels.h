// Vectors that are compared with many rows, such as support vectors.
#pragma once

#include <algorithm>
#include <cstdint>

#include "broadcast.h"
#include "core/buffer.h"
#include "engines/native/operator.h"

namespace sidecall::native {

// The vectors are stored in panels of kVectors: the first components of all vectors of a panel,
// then the second ones, and so on. So the sums for the vectors of a panel are independent of each
// other, and the terms of each sum are added in the order of the components.
template <typename T>
class VectorPanels {
 public:
  static constexpr int64_t kVectors = 64 / sizeof(T);

  VectorPanels(int64_t count, int64_t size) : count_(count), size_(size) {
    buffer_.reserve(static_cast<uint64_t>((count + kVectors - 1) / kVectors * kVectors) *
                    static_cast<uint64_t>(size) * sizeof(T));
  }

  int64_t count() const { return count_; }
  int64_t size() const { return size_; }

  // Stores the vectors: a matrix [count, size].
  void pack(const T* vectors) {
    T* to = static_cast<T*>(buffer_.data());
    for (int64_t first = 0; first < count_; first += kVectors) {
      const int64_t used = std::min(kVectors, count_ - first);
      for (int64_t k = 0; k < size_; ++k, to += kVectors) {
        for (int64_t i = 0; i < used; ++i) to[i] = vectors[(first + i) * size_ + k];
        std::fill(to + used, to + kVectors, T{0});
      }
    }
  }

  // Component k of vector i.
  T at(int64_t i, int64_t k) const {
    const T* panel = static_cast<const T*>(buffer_.data()) + i / kVectors * size_ * kVectors;
    return panel[k * kVectors + i % kVectors];
  }

  // For each vector i, sets sums[i] to finish(sum), where the terms of the sum are
  // term(row[k], vector[k]).
  template <typename Term, typename Finish>
  void sum(const T* row, const Interrupt& interrupt, T* sums, Term term, Finish finish) const {
    const T* panel = static_cast<const T*>(buffer_.data());
    int64_t left = 0;  // terms until the next poll
    for (int64_t first = 0; first < count_; first += kVectors) {
      if (left <= 0) {
        interrupt.poll();
        left = kElementsPerPoll;
      }
      left -= (size_ + 1) * kVectors;
      T totals[kVectors] = {};
      for (int64_t k = 0; k < size_; ++k, panel += kVectors) {
        for (int64_t i = 0; i < kVectors; ++i) totals[i] += term(row[k], panel[i]);
      }
      const int64_t used = std::min(kVectors, count_ - first);
      for (int64_t i = 0; i < used; ++i) sums[first + i] = finish(totals[i]);
    }
  }

 private:
  int64_t count_, size_;
  Buffer buffer_;
};

struct Product {
  template <typename T>
  T operator()(T a, T b) const {
    return a * b;
  }
};
struct SquaredDifference {
  template <typename T>
  T operator()(T a, T b) const {
    const T difference = a - b;
    return difference * difference;
  }
};

}  // namespace sidecall::native
