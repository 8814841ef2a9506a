// Helpers of the input tensors and the output tensors: arguments that name a tensor or its memory.
#pragma once

#include <sidecall/sidecall.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/error.h"
#include "core/shapes.h"

namespace sidecall {

inline void fill_view(sidecall_view* view, int32_t dtype, const Dims& dims, void* data,
                      uint64_t bytes, const int64_t* offsets) {
  view->dtype = dtype;
  view->rank = static_cast<int32_t>(dims.size());
  view->flags = 0;
  view->dims = dims.data();
  view->data = data;
  view->data_bytes = bytes;
  view->offsets = offsets;
}

// Throws unless `index` names one of `count` tensors. `kind`: "input" or "output".
inline void require_tensor_index(const char* kind, int32_t index, size_t count) {
  if (index >= 0 && static_cast<size_t>(index) < count) return;
  const std::string expected = std::string(kind) + ": expected the index of an " + kind;
  if (index == -1)
    throw Error(SIDECALL_UNKNOWN_NAME, "unknown " + expected + ", got -1 (not found)");
  throw Error(SIDECALL_INVALID_ARGUMENT, expected + ", which is less than " +
                                             std::to_string(count) + ", got " +
                                             std::to_string(index));
}

// Whether an address is aligned to the element type.
inline bool is_aligned(const void* data, int32_t dtype) {
  const auto bytes = static_cast<uintptr_t>(std::max(dtype_bits(dtype) / 8, 1));
  return reinterpret_cast<uintptr_t>(data) % bytes == 0;
}

}  // namespace sidecall
