// Rows of numbers, as the operators of ai.onnx.ml take them.
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "engines/native/operator.h"

namespace sidecall::native {

[[noreturn]] inline void refuse_rank(const Node& node, const Tensor& x) {
  refuse_node(node, SIDECALL_ENGINE,
              "the operator does not take an input of rank " + std::to_string(x.rank()));
}

// The size of an input: [count, columns], or [columns] for one row.
struct Rows {
  int64_t count = 1;
  int64_t columns = 0;
};

// Throws ENGINE for another rank.
inline Rows rows_of(const Node& node, const Tensor& x) {
  if (x.rank() != 1 && x.rank() != 2) refuse_rank(node, x);
  return {x.rank() == 2 ? x.dims[0] : 1, x.dims.back()};
}

// The elements of a row as float. If they must be converted, they are written to `scratch`, which
// must have `count` elements.
template <typename T>
const float* as_floats(const T* row, int64_t count, std::vector<float>* scratch) {
  if constexpr (std::is_same_v<T, float>) {
    return row;
  } else {
    for (int64_t i = 0; i < count; ++i)
      (*scratch)[static_cast<size_t>(i)] = static_cast<float>(row[i]);
    return scratch->data();
  }
}

// The dot product. It has several accumulators, so that the compiler can vectorise the loop.
inline float dot(const float* a, const float* b, int64_t count) {
  constexpr int64_t kSums = 8;
  float lanes[kSums] = {};
  int64_t i = 0;
  for (; i + kSums <= count; i += kSums) {
    for (int64_t lane = 0; lane < kSums; ++lane) lanes[lane] += a[i + lane] * b[i + lane];
  }
  float rest = 0;
  for (; i < count; ++i) rest += a[i] * b[i];
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) +
         ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7])) + rest;
}

}  // namespace sidecall::native
