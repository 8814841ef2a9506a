// The graph of a model file before it is compiled: values, nodes and constants.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/tensor_spec.h"
#include "core/artifact/engine_input.h"
#include "core/buffer.h"
#include "tensor.h"
#include "vocabulary.h"

namespace sidecall::native {

// A tensor whose elements are known when the file is opened; owns its memory.
struct Constant {
  int32_t dtype = 0;
  Dims dims;
  int64_t count = 0;
  Buffer buffer;
  Place place;
};

// The attribute types that the operators of this engine use. The numbers are those of
// AttributeProto.AttributeType in onnx.proto.
enum class AttributeType : uint8_t {
  kReal = 1,
  kInteger = 2,
  kText = 3,
  kTensor = 4,
  kReals = 6,
  kIntegers = 7,
  kTexts = 8,
};

struct Attribute {
  std::string_view name;
  AttributeType type{};
  int64_t integer = 0;
  float real = 0;
  std::string_view text;
  std::vector<int64_t> integers;
  std::vector<float> reals;
  std::vector<std::string_view> texts;
  std::unique_ptr<Constant> tensor;
};

// What a node that counts terms does with its counts (text/fusion.h). In brackets: the constants.
enum class FusedStep : uint8_t {
  kToFloat32,
  kToFloat64,
  kSign,
  kDamp,               // 1 + log(count)
  kMultiply,           // each column by a weight [weights]
  kNormalize,          // divides each row by its length, or by `one` [least length, one]
  kProduct,            // [matrix, bias or none]
  kProductTransposed,  // the same with the transposed matrix
};

// A node reads and writes values by their index. -1 stands for an omitted input or output.
struct Node {
  std::string_view op;
  std::string_view domain;  // "" for the operators of ONNX itself
  std::string_view name;
  int64_t version = 0;  // of the operator set of `domain` that the file imports
  // If the node calls a function of the model: the SHA-256 of that function's FunctionProto.
  std::string function;
  std::vector<FusedStep> fused;
  std::vector<int32_t> inputs;
  std::vector<int32_t> outputs;
  std::vector<Attribute> attributes;

  // Each returns `otherwise` if the node has no such attribute, and throws FILE_INVALID if it has
  // another type.
  int64_t integer(std::string_view attribute, int64_t otherwise) const;
  float real(std::string_view attribute, float otherwise) const;
  std::string_view text(std::string_view attribute, std::string_view otherwise) const;
  // Each returns an empty list or nullptr if the node has no such attribute.
  const std::vector<int64_t>& integers(std::string_view attribute) const;
  const std::vector<float>& reals(std::string_view attribute) const;
  const std::vector<std::string_view>& texts(std::string_view attribute) const;
  const Constant* tensor(std::string_view attribute) const;

  bool has(std::string_view attribute) const;

  // "node 'n_3' (TreeEnsemble)"
  std::string describe() const;

 private:
  const Attribute* find(std::string_view attribute, AttributeType type) const;
};

struct Value {
  std::string_view name;
  std::unique_ptr<Constant> constant;  // nullptr for a graph input or the output of a node
};

struct Graph {
  std::vector<Value> values;
  std::vector<Node> nodes;  // in topological order
  std::vector<TensorSpec> inputs, outputs;
  std::vector<int32_t> input_values, output_values;
  Vocabulary vocabulary;
};

// Reads the main graph. The result holds views into `input`, which must outlive it. Throws
// FILE_INVALID if the graph is inconsistent, UNSUPPORTED if this engine cannot represent it. Each
// message begins with `what`: "file 'fraud.onnx': ".
Graph read_graph(const EngineInput& input, const std::string& what);

// Returns a constant of this type and shape. Its elements are zero.
std::unique_ptr<Constant> make_constant(int32_t dtype, Dims dims);

}  // namespace sidecall::native
