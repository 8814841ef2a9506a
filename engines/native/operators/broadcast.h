// Element-wise loops over tensors of different shapes, with the broadcasting rules of numpy, which
// are those of ONNX.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/shapes.h"
#include "engines/native/operator.h"
#include "engines/native/tensor.h"

namespace sidecall::native {

// A loop over elements polls its Interrupt once in about this many elements, of which the slowest
// functions compute some ten in a microsecond.
constexpr int64_t kElementsPerPoll = 8192;

// Calls body(begin, end) for consecutive parts of 0 to count - 1, and polls before each.
template <typename Body>
void for_each_part(int64_t count, const Interrupt& interrupt, Body&& body) {
  for (int64_t begin = 0; begin < count; begin += kElementsPerPoll) {
    interrupt.poll();
    body(begin, std::min(begin + kElementsPerPoll, count));
  }
}

// Iterates over K operands whose shapes broadcast to one shape. Neighbouring dimensions are merged
// where no operand needs separate loops, so most pairs of shapes need one or two loops. In the
// innermost loop, the stride of each operand is 0 or 1.
template <size_t K>
class Broadcast {
 public:
  // Throws ENGINE if the shapes do not broadcast.
  explicit Broadcast(const std::array<const Tensor*, K>& operands) {
    size_t rank = 0;
    for (const Tensor* operand : operands) rank = std::max(rank, operand->dims.size());
    dims_.assign(rank, 1);
    for (size_t axis = 0; axis < rank; ++axis) {
      for (const Tensor* operand : operands) {
        const int64_t size = size_at(*operand, axis, rank);
        if (size == 1 || size == dims_[axis]) continue;
        if (dims_[axis] != 1)
          throw Error(SIDECALL_ENGINE, "shapes do not broadcast: " + std::to_string(dims_[axis]) +
                                           " and " + std::to_string(size) + " elements at axis " +
                                           std::to_string(axis));
        dims_[axis] = size;
      }
    }
    merge(operands, rank);
  }

  const Dims& dims() const { return dims_; }  // the common shape

  // Calls inner(count, offsets, output_offset) for each run of the innermost loop, of `count`
  // elements. Offsets are in elements: `offsets` those of the operands.
  template <typename Inner>
  void for_each(Inner&& inner) const {
    if (is_empty_) return;
    std::array<int64_t, K> offsets{};
    if (outer_.empty()) {
      inner(count_, offsets, int64_t{0});
      return;
    }
    std::array<int64_t, kMaxLoops> index{};
    int64_t output = 0;
    for (;;) {
      inner(count_, offsets, output);
      output += count_;
      size_t loop = outer_.size();
      for (;;) {
        if (loop == 0) return;
        --loop;
        const Loop& at = outer_[loop];
        for (size_t k = 0; k < K; ++k) offsets[k] += at.strides[k];
        if (++index[loop] < at.size) break;
        for (size_t k = 0; k < K; ++k) offsets[k] -= at.strides[k] * at.size;
        index[loop] = 0;
      }
    }
  }

  // The same, but splits long runs and polls the interrupt.
  template <typename Inner>
  void for_each_part(const Interrupt& interrupt, Inner&& inner) const {
    int64_t left = 0;  // elements until the next poll
    for_each([&](int64_t count, std::array<int64_t, K> offsets, int64_t output) {
      while (count > left) {
        if (left > 0) {
          inner(left, offsets, output);
          for (size_t k = 0; k < K; ++k) offsets[k] += inner_[k] * left;
          output += left;
          count -= left;
        }
        interrupt.poll();
        left = kElementsPerPoll;
      }
      inner(count, offsets, output);
      left -= count;
    });
  }

  // The stride of an operand in the innermost loop: 1, or 0 if it stays at one element.
  int64_t stride(size_t operand) const { return inner_[operand]; }

 private:
  static constexpr size_t kMaxLoops = 16;
  struct Loop {
    int64_t size;
    std::array<int64_t, K> strides;
  };

  // The size of the tensor along an axis of the common shape, which has `rank` axes.
  static int64_t size_at(const Tensor& tensor, size_t axis, size_t rank) {
    const size_t missing = rank - tensor.dims.size();
    return axis < missing ? 1 : tensor.dims[axis - missing];
  }

  void merge(const std::array<const Tensor*, K>& operands, size_t rank) {
    is_empty_ = std::find(dims_.begin(), dims_.end(), 0) != dims_.end();
    if (is_empty_) return;
    std::array<int64_t, K> strides;
    strides.fill(1);
    std::vector<Loop> loops;  // from the innermost
    for (size_t axis = rank; axis-- > 0;) {
      Loop loop{dims_[axis], {}};
      for (size_t k = 0; k < K; ++k) {
        const int64_t size = size_at(*operands[k], axis, rank);
        loop.strides[k] = size == 1 ? 0 : strides[k];
        strides[k] *= size;
      }
      if (dims_[axis] == 1) continue;
      if (!loops.empty() && continues(loops.back(), loop)) loops.back().size *= loop.size;
      else loops.push_back(loop);
    }
    if (loops.size() > kMaxLoops)
      throw Error(SIDECALL_UNSUPPORTED, "shapes have too many dimensions to broadcast");
    count_ = 1;
    if (!loops.empty()) {
      count_ = loops.front().size;
      inner_ = loops.front().strides;
    }
    for (size_t i = loops.size(); i-- > 1;) outer_.push_back(loops[i]);
  }

  // Whether both loops can be one: each operand's stride continues that of the inner loop.
  static bool continues(const Loop& inside, const Loop& outside) {
    for (size_t k = 0; k < K; ++k) {
      if (outside.strides[k] != inside.strides[k] * inside.size) return false;
    }
    return true;
  }

  Dims dims_;
  int64_t count_ = 1;               // the size of the innermost loop
  std::array<int64_t, K> inner_{};  // the strides of the innermost loop
  std::vector<Loop> outer_;         // the other loops, from the outermost
  bool is_empty_ = false;
};

}  // namespace sidecall::native
