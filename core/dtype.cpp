// The table of element types; used by every other file of core.
#include "dtype.h"

#include <sidecall/sidecall.h>

#include <array>

#include "error.h"

namespace sidecall {
namespace {

struct Dtype {
  int32_t number;
  const char* name;
  int32_t bits;
};

constexpr std::array kDtypes = {
    Dtype{SIDECALL_FLOAT32, "float32", 32},
    Dtype{SIDECALL_UINT8, "uint8", 8},
    Dtype{SIDECALL_INT8, "int8", 8},
    Dtype{SIDECALL_UINT16, "uint16", 16},
    Dtype{SIDECALL_INT16, "int16", 16},
    Dtype{SIDECALL_INT32, "int32", 32},
    Dtype{SIDECALL_INT64, "int64", 64},
    Dtype{SIDECALL_STRING, "string", 0},
    Dtype{SIDECALL_BOOL, "bool", 8},
    Dtype{SIDECALL_FLOAT16, "float16", 16},
    Dtype{SIDECALL_FLOAT64, "float64", 64},
    Dtype{SIDECALL_UINT32, "uint32", 32},
    Dtype{SIDECALL_UINT64, "uint64", 64},
    Dtype{SIDECALL_BFLOAT16, "bfloat16", 16},
    Dtype{SIDECALL_FLOAT8E4M3FN, "float8e4m3fn", 8},
    Dtype{SIDECALL_FLOAT8E4M3FNUZ, "float8e4m3fnuz", 8},
    Dtype{SIDECALL_FLOAT8E5M2, "float8e5m2", 8},
    Dtype{SIDECALL_FLOAT8E5M2FNUZ, "float8e5m2fnuz", 8},
    Dtype{SIDECALL_UINT4, "uint4", 4},
    Dtype{SIDECALL_INT4, "int4", 4},
};

const Dtype* find(int32_t number) noexcept {
  for (const Dtype& dtype : kDtypes) {
    if (dtype.number == number) return &dtype;
  }
  return nullptr;
}

}  // namespace

const char* dtype_name(int32_t dtype) noexcept {
  const Dtype* found = find(dtype);
  return found ? found->name : "unknown";
}

int32_t dtype_bits(int32_t dtype) noexcept {
  const Dtype* found = find(dtype);
  return found ? found->bits : 0;
}

bool dtype_is_supported(int32_t dtype) noexcept { return find(dtype) != nullptr; }

bool differ_in_width(int32_t dtype, int32_t other) noexcept {
  return (dtype == SIDECALL_FLOAT32 && other == SIDECALL_FLOAT64) ||
         (dtype == SIDECALL_FLOAT64 && other == SIDECALL_FLOAT32);
}

int32_t dtype_from_name(const std::string& name) noexcept {
  for (const Dtype& dtype : kDtypes) {
    if (name == dtype.name) return dtype.number;
  }
  return 0;
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
  // Half of the address space is more than any allocator gives, and leaves room for sums.
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
