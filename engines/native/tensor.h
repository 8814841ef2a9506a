// The values of a graph while the native engine compiles and runs it.
#pragma once

#include <sidecall/sidecall.h>

#include <cstdint>
#include <string_view>
#include <utility>

#include "base/dtype.h"
#include "core/shapes.h"

namespace sidecall::native {

// An element of a string tensor. The bytes belong to the plan, to the binding, or to the operator
// that made the string.
struct Text {
  const char* data = "";
  uint32_t size = 0;
  // The position of the string in the vocabulary of the plan, or kNotInVocabulary. Every string
  // that is in the vocabulary has its position here, so strings with different ids differ.
  int32_t id = -1;

  std::string_view view() const { return {data, size}; }
};
constexpr int32_t kNotInVocabulary = -1;

inline bool operator==(const Text& a, const Text& b) {
  return a.id == b.id && (a.id != kNotInVocabulary || a.view() == b.view());
}

// Where the elements of a tensor lie. The binding sets `data` before each run; tensors that share
// their elements share the place.
struct Place {
  void* data = nullptr;
  int64_t lifetime = -1;  // used while a program is prepared; see Program
};

// One value of the graph in one program. `dtype` and `dims` are set when the program is prepared.
class Tensor {
 public:
  int32_t dtype = 0;
  Dims dims;
  int64_t count = 0;  // elements
  // The elements are known before the run: a constant, or computed from shapes alone.
  bool is_known = false;
  Place* place = nullptr;

  void shape(int32_t element_type, Dims sizes) {
    dtype = element_type;
    dims = std::move(sizes);
    count = count_elements(dims);
  }
  int64_t rank() const { return static_cast<int64_t>(dims.size()); }

  // The elements. T must be the type of `dtype`; a bool is a uint8_t.
  template <typename T>
  T* as() const {
    return static_cast<T*>(place->data);
  }
};

constexpr uint64_t element_bytes(int32_t dtype) {
  return dtype == SIDECALL_DTYPE_STRING ? sizeof(Text)
                                        : static_cast<uint64_t>(dtype_bits(dtype)) / 8;
}

// The element type that a C++ type stands for. A bool is stored as a uint8_t, so uint8 has no type
// of its own here; no supported operator computes with it.
template <typename T>
constexpr int32_t dtype_of();
template <>
constexpr int32_t dtype_of<float>() {
  return SIDECALL_DTYPE_FLOAT32;
}
template <>
constexpr int32_t dtype_of<double>() {
  return SIDECALL_DTYPE_FLOAT64;
}
template <>
constexpr int32_t dtype_of<int32_t>() {
  return SIDECALL_DTYPE_INT32;
}
template <>
constexpr int32_t dtype_of<int64_t>() {
  return SIDECALL_DTYPE_INT64;
}
template <>
constexpr int32_t dtype_of<uint8_t>() {
  return SIDECALL_DTYPE_BOOL;
}
template <>
constexpr int32_t dtype_of<Text>() {
  return SIDECALL_DTYPE_STRING;
}

constexpr bool is_supported(int32_t dtype) {
  return dtype == SIDECALL_DTYPE_FLOAT32 || dtype == SIDECALL_DTYPE_FLOAT64 ||
         dtype == SIDECALL_DTYPE_INT32 || dtype == SIDECALL_DTYPE_INT64 ||
         dtype == SIDECALL_DTYPE_BOOL || dtype == SIDECALL_DTYPE_STRING;
}

// Calls `function` with a value of the C++ type of `dtype`, and returns its result. Only the types
// of the list `Types` are possible; for others the result is a default value.
template <typename First, typename... Rest, typename Function>
auto with_type(int32_t dtype, Function&& function) -> decltype(function(First{})) {
  if (dtype == dtype_of<First>()) return function(First{});
  if constexpr (sizeof...(Rest) > 0)
    return with_type<Rest...>(dtype, std::forward<Function>(function));
  return {};
}

}  // namespace sidecall::native
