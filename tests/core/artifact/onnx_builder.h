// Writes small ONNX models, field by field (onnx.proto3 defines the field numbers). Used by the
// tests of ONNX files and of in-place safety.
#pragma once

#include <sidecall/sidecall.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "core/artifact/sha256.h"
#include "core/shapes.h"

namespace onnx {

using sidecall::Dims;

inline std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}

inline std::string number(uint32_t field, int64_t value) {
  return varint(field << 3) + varint(static_cast<uint64_t>(value));
}
inline std::string bytes(uint32_t field, const std::string& payload) {
  return varint(field << 3 | 2) + varint(payload.size()) + payload;
}

inline std::string hash_of(const std::string& bytes) {
  sidecall::Sha256 hash;
  hash.update(bytes);
  return hash.hex();
}

template <typename T>
std::string raw(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

inline std::string fixed32(uint32_t field, float value) {
  return varint(field << 3 | 5) + raw<float>({value});
}

inline std::string tensor(const std::string& name, int32_t dtype, const Dims& dims,
                          const std::string& data) {
  std::string out;
  for (const int64_t size : dims) out += number(1, size);
  return out + number(2, dtype) + bytes(8, name) + bytes(9, data);
}

// Attributes.
enum AttributeType {
  kFloat = 1,
  kInt = 2,
  kString = 3,
  kTensor = 4,
  kGraph = 5,
  kFloats = 6,
  kInts = 7,
  kStrings = 8
};

struct Attribute {
  std::string message;

  Attribute(const std::string& name, int type, const std::string& value)
      : message(bytes(1, name) + value + number(20, type)) {}
  Attribute(const std::string& name, int64_t value) : Attribute(name, kInt, number(3, value)) {}
  Attribute(const std::string& name, int value) : Attribute(name, static_cast<int64_t>(value)) {}
  Attribute(const std::string& name, float value) : Attribute(name, kFloat, fixed32(2, value)) {}
  Attribute(const std::string& name, const char* value)
      : Attribute(name, kString, bytes(4, value)) {}
  Attribute(const std::string& name, const std::vector<float>& values)
      : Attribute(name, kFloats, each(7, values)) {}
  Attribute(const std::string& name, const std::vector<int64_t>& values)
      : Attribute(name, kInts, each(8, values)) {}
  Attribute(const std::string& name, const std::vector<std::string>& values)
      : Attribute(name, kStrings, each(9, values)) {}

  static Attribute of_tensor(const std::string& name, const std::string& tensor) {
    return {name, kTensor, bytes(5, tensor)};
  }
  static Attribute of_graph(const std::string& name, const std::string& graph) {
    return {name, kGraph, bytes(6, graph)};
  }

 private:
  static std::string one(uint32_t field, float value) { return fixed32(field, value); }
  static std::string one(uint32_t field, int64_t value) { return number(field, value); }
  static std::string one(uint32_t field, const std::string& value) { return bytes(field, value); }
  template <typename T>
  static std::string each(uint32_t field, const std::vector<T>& values) {
    std::string out;
    for (const T& value : values) out += one(field, value);
    return out;
  }
};

using Attributes = std::vector<Attribute>;
using Names = std::vector<std::string>;

// Graphs.
struct Value {
  std::string name;
  int32_t dtype;
  Dims dims;
};

class Graph {
 public:
  Graph& node(const std::string& op, const Names& takes, const Names& gives,
              const Attributes& attributes = {}, const std::string& domain = "") {
    std::string message;
    for (const std::string& name : takes) message += bytes(1, name);
    for (const std::string& name : gives) message += bytes(2, name);
    message += bytes(4, op);
    for (const Attribute& attribute : attributes) message += bytes(5, attribute.message);
    message_ += bytes(1, message + bytes(7, domain));
    return *this;
  }

  Graph& input(const std::string& name, int32_t dtype, const Dims& dims) {
    inputs.push_back({name, dtype, dims});
    message_ += bytes(11, value_info(inputs.back()));
    return *this;
  }

  Graph& output(const std::string& name, int32_t dtype, const Dims& dims) {
    outputs.push_back({name, dtype, dims});
    message_ += bytes(12, value_info(outputs.back()));
    return *this;
  }

  Graph& constant(const std::string& name, const Dims& dims, const std::vector<float>& values) {
    message_ += bytes(5, tensor(name, SIDECALL_DTYPE_FLOAT32, dims, raw(values)));
    return *this;
  }
  Graph& constant(const std::string& name, const Dims& dims, const std::vector<int64_t>& values) {
    message_ += bytes(5, tensor(name, SIDECALL_DTYPE_INT64, dims, raw(values)));
    return *this;
  }

  std::string message() const { return message_ + bytes(2, "g"); }

  std::string model(int64_t opset = 17, int64_t ml_opset = 3, const std::string& more = "") const {
    std::string out = number(1, 8) + bytes(7, message());
    for (const auto& [domain, version] : std::vector<std::pair<std::string, int64_t>>{
             {"", opset}, {"ai.onnx.ml", ml_opset}, {"com.microsoft", 1}})
      out += bytes(8, bytes(1, domain) + number(2, version));
    return out + more;
  }

  std::vector<Value> inputs, outputs;

 private:
  static std::string value_info(const Value& value) {
    std::string shape;
    for (const int64_t size : value.dims)
      shape += bytes(1, size < 0 ? bytes(2, "N") : number(1, size));
    return bytes(1, value.name) + bytes(2, bytes(1, number(1, value.dtype) + bytes(2, shape)));
  }

  std::string message_;
};

}  // namespace onnx
