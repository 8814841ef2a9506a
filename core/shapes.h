// Sizes of tensors, and texts for their shapes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/tensor_spec.h"

namespace sidecall {

bool differ_in_width(int32_t dtype, int32_t other) noexcept;  // one is float32, the other float64

// The number of elements, and of bytes, in a tensor of this shape. Throws OUT_OF_RANGE if it
// overflows, SHAPE_MISMATCH if a dimension is negative.
int64_t count_elements(const Dims& dims);
uint64_t count_bytes(int32_t dtype, const Dims& dims);

// "float32[3,2]". A free dimension is shown as its name, or as "?" if it has none.
std::string describe_tensor(int32_t dtype, const Dims& dims,
                            const std::vector<std::string>* dim_names = nullptr);

}  // namespace sidecall
