// Computes sizes of tensors, and describes shapes; see shapes.h.
#include "shapes.h"

#include <sidecall/sidecall.h>

#include "error.h"

namespace sidecall {

bool differ_in_width(int32_t dtype, int32_t other) noexcept {
  return (dtype == SIDECALL_DTYPE_FLOAT32 && other == SIDECALL_DTYPE_FLOAT64) ||
         (dtype == SIDECALL_DTYPE_FLOAT64 && other == SIDECALL_DTYPE_FLOAT32);
}

int64_t count_elements(const Dims& dims) {
  int64_t count = 1;
  for (int64_t dim : dims) {
    if (dim < 0)
      throw Error(SIDECALL_SHAPE_MISMATCH,
                  "expected dimensions of 0 or more, got " + std::to_string(dim));
    if (__builtin_mul_overflow(count, dim, &count)) {
      throw Error(SIDECALL_OUT_OF_RANGE,
                  "expected a tensor that fits in memory, got one of more than 2^63 elements");
    }
  }
  return count;
}

uint64_t count_bytes(int32_t dtype, const Dims& dims) {
  const auto count = static_cast<uint64_t>(count_elements(dims));
  const auto bits = static_cast<uint64_t>(dtype_bits(dtype));
  if (bits == 4) return count / 2 + count % 2;
  const uint64_t bytes = bits / 8;
  // The limit, 2^47 bytes, is half of a 48-bit address space. No allocator gives more, and sums of
  // such sizes do not overflow.
  if (bytes != 0 && count > (UINT64_C(1) << 47) / bytes) {
    throw Error(SIDECALL_OUT_OF_RANGE,
                "expected a tensor that fits in memory, got " + describe_tensor(dtype, dims));
  }
  return count * bytes;
}

std::string describe_tensor(int32_t dtype, const Dims& dims,
                            const std::vector<std::string>* dim_names) {
  std::string text = std::string(dtype_name(dtype)) + "[";
  for (size_t i = 0; i < dims.size(); ++i) {
    if (i > 0) text += ",";
    if (dims[i] >= 0) {
      text += std::to_string(dims[i]);
    } else {
      const bool named = dim_names != nullptr && !(*dim_names)[i].empty();
      text += named ? (*dim_names)[i] : std::string("?");
    }
  }
  return text + "]";
}

}  // namespace sidecall
