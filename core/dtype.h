// Element types: names, sizes and texts of shapes. Numbers are those of ONNX.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sidecall {

const char* dtype_name(int32_t dtype) noexcept;  // "unknown" where there is none
int32_t dtype_bits(int32_t dtype) noexcept;      // 0 for string and unknown
bool dtype_is_supported(int32_t dtype) noexcept;
bool differ_in_width(int32_t dtype, int32_t other) noexcept;  // one is float32, the other float64

// The number by its name, 0 when there is none.
int32_t dtype_from_name(const std::string& name) noexcept;

using Dims = std::vector<int64_t>;

// Elements and bytes that a shape takes. Throws OUT_OF_RANGE when they overflow, SHAPE_MISMATCH on a negative dimension.
int64_t count_elements(const Dims& dims);
uint64_t count_bytes(int32_t dtype, const Dims& dims);

// "float32[3,2]"; free dimensions by their name, or "?" where they have none.
std::string describe_tensor(int32_t dtype, const Dims& dims,
                            const std::vector<std::string>* dim_names = nullptr);

}  // namespace sidecall
