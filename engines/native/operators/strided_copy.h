// Copies elements between tensors with different strides.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/shapes.h"
#include "engines/native/operator.h"
#include "engines/native/tensor.h"

namespace sidecall::native {

// An element of this size and any type. Operators that only move elements are compiled once for
// each size instead of each type. Because it consists of characters, it may alias elements of any
// type.
template <size_t size>
struct alignas(size < 8 ? size : 8) Element {
  unsigned char bytes[size];
};

// Calls `function` with an element of the size of `dtype`, and returns its result.
template <typename Function>
auto with_element(int32_t dtype, Function&& function) {
  switch (element_bytes(dtype)) {
    case 1:
      return function(Element<1>{});
    case 4:
      return function(Element<4>{});
    case 8:
      return function(Element<8>{});
    default:
      static_assert(sizeof(Text) == 16);
      return function(Element<16>{});
  }
}

// Sets all elements to one value. Compilers do not vectorise a loop over Elements, so the first few
// are set one by one, and the others are copied from them in growing chunks.
template <typename E>
void fill(E* to, int64_t count, E value) {
  constexpr int64_t kHead = 256 / sizeof(E), kChunk = 16384 / sizeof(E);
  int64_t filled = std::min(count, kHead);
  std::fill_n(to, filled, value);
  while (filled < count) {
    const int64_t more = std::min({filled, kChunk, count - filled});
    std::memcpy(to + filled, to, static_cast<size_t>(more) * sizeof(E));
    filled += more;
  }
}

// The stride of each axis, in elements. The tensor must not be empty: the product of some
// dimensions of an empty tensor can overflow.
inline std::vector<int64_t> strides_of(const Dims& dims) {
  std::vector<int64_t> strides(dims.size(), 1);
  for (size_t axis = dims.size(); axis-- > 1;) strides[axis - 1] = strides[axis] * dims[axis];
  return strides;
}

// The product of the dimensions of the axes in [begin, end).
inline int64_t span(const Dims& dims, size_t begin, size_t end) {
  const auto first = dims.begin();
  return count_elements(
      Dims(first + static_cast<ptrdiff_t>(begin), first + static_cast<ptrdiff_t>(end)));
}

// A loop over a dimension of two tensors. `from` and `to` are the strides of the source and the
// target, in elements; 0 stays at one element.
struct Loop {
  int64_t size;
  int64_t from;
  int64_t to;
};

// Nested loops, the outermost first. None of them may be empty.
class LoopNest {
 public:
  LoopNest() = default;
  explicit LoopNest(std::vector<Loop> loops) : loops_(std::move(loops)) {
    if (loops_.size() > kMaxLoops)
      throw Error(SIDECALL_UNSUPPORTED, "a tensor has too many dimensions to be rearranged");
  }

  // Calls body(from, to) with the offsets of each iteration.
  template <typename Body>
  void for_each(Body&& body) const {
    std::array<int64_t, kMaxLoops> index{};
    int64_t from = 0, to = 0;
    for (;;) {
      body(from, to);
      size_t at = loops_.size();
      for (;;) {
        if (at == 0) return;
        const Loop& loop = loops_[--at];
        from += loop.from;
        to += loop.to;
        if (++index[at] < loop.size) break;
        from -= loop.from * loop.size;
        to -= loop.to * loop.size;
        index[at] = 0;
      }
    }
  }

 private:
  static constexpr size_t kMaxLoops = 16;
  std::vector<Loop> loops_;
};

// Copies along nested loops. Loops that walk through both tensors like one loop are merged, so most
// copies need one or two.
class StridedCopy {
 public:
  // The loops are given from the outermost. None of them may be empty.
  explicit StridedCopy(const std::vector<Loop>& loops) {
    std::vector<Loop> merged;  // from the innermost
    for (auto loop = loops.rbegin(); loop != loops.rend(); ++loop) {
      if (loop->size == 1) continue;
      if (!merged.empty() && loop->from == merged.back().from * merged.back().size &&
          loop->to == merged.back().to * merged.back().size)
        merged.back().size *= loop->size;
      else merged.push_back(*loop);
    }
    if (!merged.empty()) columns_ = merged[0];
    if (merged.size() > 1) rows_ = merged[1];
    if (merged.size() > 2) outer_ = LoopNest({merged.rbegin(), merged.rend() - 2});
    is_block_ = merged.size() < 2 && columns_.from == 1 && columns_.to == 1;
  }

  // Source and target are each one contiguous block, in the same order.
  bool is_block() const { return is_block_; }

  template <typename E>
  void run(const E* from, E* to, const Interrupt& interrupt) const {
    outer_.for_each([&](int64_t from_offset, int64_t to_offset) {
      copy_rows(from + from_offset, to + to_offset, interrupt);
    });
  }

 private:
  // A transposition copies this many columns at a time, so that the cache lines that one row
  // touches are still in the cache for the next row.
  static constexpr int64_t kColumns = 64;

  template <typename E>
  void copy_rows(const E* from, E* to, const Interrupt& interrupt) const {
    const Loop rows = rows_, columns = columns_;
    if (columns.from == 1 && columns.to == 1) {
      for (int64_t i = 0; i < rows.size; ++i) {
        interrupt.poll();
        std::memcpy(to + i * rows.to, from + i * rows.from,
                    static_cast<size_t>(columns.size) * sizeof(E));
      }
    } else if (columns.from == 0 && columns.to == 1) {
      for (int64_t i = 0; i < rows.size; ++i) {
        interrupt.poll();
        fill(to + i * rows.to, columns.size, from[i * rows.from]);
      }
    } else {
      for (int64_t first = 0; first < columns.size; first += kColumns) {
        interrupt.poll();
        const int64_t end = std::min(columns.size, first + kColumns);
        for (int64_t i = 0; i < rows.size; ++i) {
          const E* row = from + i * rows.from;
          E* target = to + i * rows.to;
          for (int64_t j = first; j < end; ++j) target[j * columns.to] = row[j * columns.from];
        }
      }
    }
  }

  Loop columns_{1, 1, 1};  // the innermost loop
  Loop rows_{1, 0, 0};     // the one around it
  LoopNest outer_;
  bool is_block_ = false;
};

// Copies elements of `x`, from offset `start` on, to the output, whose shape must be set. If that
// is all of `x` in the same order, the output shares its place, and the result is nullptr.
inline std::unique_ptr<Step> copy_step(const Tensor& x, int64_t start, Tensor* out,
                                       const std::vector<Loop>& loops) {
  const StridedCopy copy(loops);
  if (copy.is_block() && x.count == out->count) {
    out->place = x.place;
    return nullptr;
  }
  return with_element(x.dtype, [&](auto element) {
    using E = decltype(element);
    return make_step([&x, start, out, copy](const Interrupt& interrupt) {
      copy.run(x.as<E>() + start, out->as<E>(), interrupt);
    });
  });
}

}  // namespace sidecall::native
