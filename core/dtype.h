// Element types: their names and sizes, and texts for shapes. The numbers are those of ONNX.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sidecall {

const char* dtype_name(int32_t dtype) noexcept;  // "unknown" for any other number
int32_t dtype_bits(int32_t dtype) noexcept;      // 0 for string and unknown
bool dtype_is_supported(int32_t dtype) noexcept;
bool differ_in_width(int32_t dtype, int32_t other) noexcept;  // one is float32, the other float64

// The number of the type with this name; 0 if there is none.
int32_t dtype_from_name(const std::string& name) noexcept;

using Dims = std::vector<int64_t>;

// The number of elements, and of bytes, in a tensor of this shape. Throws OUT_OF_RANGE if it
// overflows, SHAPE_MISMATCH if a dimension is negative.
int64_t count_elements(const Dims& dims);
uint64_t count_bytes(int32_t dtype, const Dims& dims);

// "float32[3,2]". A free dimension is shown as its name, or as "?" if it has none.
std::string describe_tensor(int32_t dtype, const Dims& dims,
                            const std::vector<std::string>* dim_names = nullptr);

}  // namespace sidecall
