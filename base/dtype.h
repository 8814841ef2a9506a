// Element types: their names and sizes. The numbers are those of ONNX.
#pragma once

#include <sidecall/sidecall.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sidecall {

struct Dtype {
  const char* name = nullptr;  // nullptr: there is no type with this number
  int32_t bits = 0;            // of one element; 0 for strings
};

// Indexed by SIDECALL_DTYPE_*. The numbers 0, 14 and 15 are not types here.
inline constexpr Dtype kDtypes[] = {{},
                                    {"float32", 32},
                                    {"uint8", 8},
                                    {"int8", 8},
                                    {"uint16", 16},
                                    {"int16", 16},
                                    {"int32", 32},
                                    {"int64", 64},
                                    {"string", 0},
                                    {"bool", 8},
                                    {"float16", 16},
                                    {"float64", 64},
                                    {"uint32", 32},
                                    {"uint64", 64},
                                    {},
                                    {},
                                    {"bfloat16", 16},
                                    {"float8e4m3fn", 8},
                                    {"float8e4m3fnuz", 8},
                                    {"float8e5m2", 8},
                                    {"float8e5m2fnuz", 8},
                                    {"uint4", 4},
                                    {"int4", 4}};
inline constexpr size_t kNumDtypes = sizeof kDtypes / sizeof kDtypes[0];
static_assert(kNumDtypes == SIDECALL_DTYPE_INT4 + 1, "kDtypes is indexed by SIDECALL_DTYPE_*");

// The entry of this type. If the number is not a type, returns an entry whose name is nullptr.
constexpr const Dtype& dtype_at(int32_t dtype) noexcept {
  return kDtypes[dtype >= 0 && static_cast<size_t>(dtype) < kNumDtypes ? dtype : 0];
}

constexpr bool is_dtype(int32_t dtype) noexcept { return dtype_at(dtype).name != nullptr; }

// The number of bits of one element; 0 for strings and for numbers that are not a type.
constexpr int32_t dtype_bits(int32_t dtype) noexcept { return dtype_at(dtype).bits; }

// Also names the type of a datetime feature, which is not that of a tensor. "unknown" for numbers
// that are not a type.
constexpr const char* dtype_name(int32_t dtype) noexcept {
  if (dtype == SIDECALL_DTYPE_DATETIME) return "datetime";
  return is_dtype(dtype) ? dtype_at(dtype).name : "unknown";
}

// The number of the type with this name; 0 if there is none.
constexpr int32_t dtype_from_name(std::string_view name) noexcept {
  for (size_t i = 0; i < kNumDtypes; ++i) {
    if (kDtypes[i].name != nullptr && name == kDtypes[i].name) return static_cast<int32_t>(i);
  }
  return 0;
}

static_assert(dtype_from_name("float64") == SIDECALL_DTYPE_FLOAT64 &&
              dtype_from_name("bfloat16") == SIDECALL_DTYPE_BFLOAT16);

}  // namespace sidecall
