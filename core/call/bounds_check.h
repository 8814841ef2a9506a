// Compares all numbers of a tensor with bounds at once, with the vector instructions of the CPU.
#pragma once

#include <cstdint>

#include "core/contract/signature.h"

namespace sidecall {

// Whether each number of `rows` rows is within the bounds of its column, and none is missing where
// that is refused.
bool is_within(const Bounds<float>& bounds, const void* data, int64_t rows);
bool is_within(const Bounds<double>& bounds, const void* data, int64_t rows);
bool is_within(const Bounds<int64_t>& bounds, const void* data, int64_t rows);

// Whether no number is NaN or infinite.
bool is_all_finite(const float* values, int64_t count);
bool is_all_finite(const double* values, int64_t count);

}  // namespace sidecall
