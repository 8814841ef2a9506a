// Element types as the Open Inference Protocol names them: "FP64".
#pragma once

#include <sidecall/sidecall.h>

#include <cstdint>
#include <string_view>

namespace sidecall::net {

struct Datatype {
  int32_t dtype;  // SIDECALL_DTYPE_*
  const char* name;
};

inline constexpr Datatype kDatatypes[] = {
    {SIDECALL_DTYPE_BOOL, "BOOL"},     {SIDECALL_DTYPE_UINT8, "UINT8"},
    {SIDECALL_DTYPE_UINT16, "UINT16"}, {SIDECALL_DTYPE_UINT32, "UINT32"},
    {SIDECALL_DTYPE_UINT64, "UINT64"}, {SIDECALL_DTYPE_INT8, "INT8"},
    {SIDECALL_DTYPE_INT16, "INT16"},   {SIDECALL_DTYPE_INT32, "INT32"},
    {SIDECALL_DTYPE_INT64, "INT64"},   {SIDECALL_DTYPE_FLOAT16, "FP16"},
    {SIDECALL_DTYPE_BFLOAT16, "BF16"}, {SIDECALL_DTYPE_FLOAT32, "FP32"},
    {SIDECALL_DTYPE_FLOAT64, "FP64"},  {SIDECALL_DTYPE_STRING, "BYTES"},
};

// nullptr if the protocol has no such type.
constexpr const char* datatype_name(int32_t dtype) noexcept {
  for (const Datatype& each : kDatatypes) {
    if (each.dtype == dtype) return each.name;
  }
  return nullptr;
}

// 0 if there is no such type here.
constexpr int32_t dtype_of(std::string_view name) noexcept {
  for (const Datatype& each : kDatatypes) {
    if (name == each.name) return each.dtype;
  }
  return 0;
}

}  // namespace sidecall::net
