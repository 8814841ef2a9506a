// Tensors while the native engine prepares and runs a program, and their element types.
#pragma once

#include <sidecall/sidecall.h>

#include <cstdint>
#include <string_view>
#include <utility>

#include "base/dtype.h"
#include "core/shapes.h"

namespace sidecall::native {

// An element of a string tensor. The plan or the context owns the bytes.
struct Text {
  const char* data = "";
  uint32_t size = 0;
  // The position of the string in the vocabulary of the plan, or kNotInVocabulary. It is always set
  // if the vocabulary has the string, so strings with different ids differ.
  int32_t id = -1;

  std::string_view view() const { return {data, size}; }
};
constexpr int32_t kNotInVocabulary = -1;

inline bool operator==(const Text& a, const Text& b) {
  return a.id == b.id && (a.id != kNotInVocabulary || a.view() == b.view());
}

// Where the elements of a tensor are. Tensors that share their elements share the place. The
// context sets `data` of inputs and outputs before each run; that of all others stays the same.
struct Place {
  void* data = nullptr;
  int64_t lifetime = -1;  // used while a program is prepared; see Program
};

// Every tensor of a graph keeps its dimensions. Without a limit, a small file with many dimensions
// and many nodes could exhaust the memory.
constexpr size_t kMaxRank = 64;

// One value of the graph in one program. Type and shape are set when the program is prepared.
class Tensor {
 public:
  int32_t dtype = 0;
  Dims dims;
  int64_t count = 0;  // elements
  // The elements are known before the run: they are constant, or depend on shapes alone.
  bool is_known = false;
  Place* place = nullptr;

  // Sets type and shape. Throws UNSUPPORTED for more than kMaxRank dimensions. Throws OUT_OF_MEMORY
  // if the product of the dimensions, with 1 in place of 0, is larger than any memory. So a product
  // of some of the dimensions never overflows, even if the tensor is empty.
  void shape(int32_t element_type, Dims sizes);
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

inline uint64_t bytes_of(const Tensor& tensor) {
  return static_cast<uint64_t>(tensor.count) * element_bytes(tensor.dtype);
}

// The element type that is stored as T. uint8_t stores bool; the operators of this engine do not
// compute uint8.
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

// Calls function(T{}), where T is the C++ type of `dtype`, and returns its result. If T is not in
// the list First, Rest..., returns a default value instead (nullptr for a step).
template <typename First, typename... Rest, typename Function>
auto with_type(int32_t dtype, Function&& function) -> decltype(function(First{})) {
  if (dtype == dtype_of<First>()) return function(First{});
  if constexpr (sizeof...(Rest) > 0)
    return with_type<Rest...>(dtype, std::forward<Function>(function));
  return {};
}

}  // namespace sidecall::native
