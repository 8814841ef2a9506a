// float32 tensors that are given for float64 inputs, and the reverse.
#pragma once

#include <cstdint>

#include "core/contract/signature.h"

namespace sidecall {

// Converts to `to_dtype`, one of the two float types, from the other one. Neither address needs to
// be aligned.
void convert_float_width(const void* from, void* to, int32_t to_dtype, int64_t count) noexcept;

// If a number of a tensor of this shape is beyond the range of float32, throws the same faults as a
// run over records with these numbers.
void require_float32(const Signature& signature, int32_t input, const void* doubles,
                     const Dims& dims);

}  // namespace sidecall
