// The graph of a model file as the native engine compiles it: values, nodes and constants.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/tensor_spec.h"
#include "core/buffer.h"
#include "core/engine_input.h"
#include "core/hash.h"
#include "tensor.h"

namespace sidecall::native {

// All strings that the graph mentions. A string that a caller gives is looked up once, when it is
// set; operators then compare positions.
class Vocabulary {
 public:
  // Returns the string with its position. Copies its bytes when it is new.
  Text add(std::string_view text);
  // The string with its position if it is known; otherwise a view of `text`.
  Text find(std::string_view text) const;
  size_t size() const { return texts_.size(); }

 private:
  std::unordered_map<std::string_view, int32_t, SeededHash> positions_;
  std::vector<std::unique_ptr<std::string>> texts_;
};

// The memory of a constant.
struct Constant {
  int32_t dtype = 0;
  Dims dims;
  int64_t count = 0;
  Buffer buffer;
  Place place;
};

// The types of attributes that operators of this engine use; the numbers are those of ONNX.
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

// A node reads and writes values by their index. -1 stands for an omitted input or output.
struct Node {
  std::string_view op;
  std::string_view domain;  // "" for the operators of ONNX itself
  std::string_view name;
  int64_t version = 0;  // of the operator set of `domain`, as the file imports it
  std::vector<int32_t> inputs;
  std::vector<int32_t> outputs;
  std::vector<Attribute> attributes;

  // Each throws FILE_INVALID if the attribute has another type.
  int64_t integer(std::string_view attribute, int64_t otherwise) const;
  float real(std::string_view attribute, float otherwise) const;
  std::string_view text(std::string_view attribute, std::string_view otherwise) const;
  // Empty, or nullptr, if the node has no such attribute.
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
  std::unique_ptr<Constant> constant;  // nullptr if a caller or a node gives the value
};

struct Graph {
  std::vector<Value> values;
  std::vector<Node> nodes;  // in an order in which each value is made before it is read
  std::vector<TensorSpec> inputs, outputs;
  std::vector<int32_t> input_values, output_values;
  Vocabulary vocabulary;
};

// Reads the main graph. The graph holds views into `input`, which must stay. Throws FILE_INVALID
// for a graph that contradicts itself, UNSUPPORTED for what this engine cannot represent. `what`
// begins each message: "file 'fraud.onnx': ".
Graph read_graph(const EngineInput& input, const std::string& what);

// Memory for a constant of this type and shape; zeroed.
std::unique_ptr<Constant> make_constant(int32_t dtype, Dims dims);

}  // namespace sidecall::native
