// Follows each input of a graph to the kernels that can read its memory; see in_place_safety.h.
#include "in_place_safety.h"

#include <sidecall/sidecall.h>

#include <string>
#include <unordered_map>
#include <unordered_set>

#include "protobuf.h"

namespace sidecall {

using protobuf::Field;
using protobuf::Reader;

namespace {

constexpr std::string_view kMl = "ai.onnx.ml";
constexpr std::string_view kMicrosoft = "com.microsoft";

struct Group {
  std::string_view domain;
  bool every_input;
  bool floats_alone;
  Reading reading;
  std::vector<std::string_view> ops;
};

// The list of safe kernels. Each comment names the sources of the kernels in ONNX Runtime's
// core/providers/cpu, and says why their addresses are safe. An input that can reach a kernel
// outside of the list is copied first. For example, Gather (with its indices), GatherND, ScatterND,
// OneHot, NonZero and TopK check a value and then read it again as an index; integer Div and Mod
// look for zeros and then divide; LabelEncoder and CategoryMapper look up keys; DequantizeLinear
// may be fused into kernels with lookup tables.
const std::vector<Group>& groups() {
  static const auto* all = new std::vector<Group>{
      // tensor/identity_op.h, reshape.cc, squeeze.h, unsqueeze.cc, flatten.cc, nn/dropout_op.h: no
      // copy, or one memcpy. Only their first input is safe; shapes, axes and ratios are further
      // inputs.
      {"",
       false,
       false,
       Reading::kAliases,
       {"Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Dropout"}},
      // tensor/shape_op.cc, size.cc: they read the shape alone and no element.
      {"", false, false, Reading::kEnds, {"Shape", "Size"}},
      // tensor/cast_op.cc: each input element gives one output element. A Cast to string is
      // excluded (casts_to_string below).
      {"", false, false, Reading::kPasses, {"Cast"}},
      // math/element_wise_ops.cc, tensor/where_op.cc, tensor/isnan.cc, isinf.cc,
      // activation/activations.h: element by element, broadcast by shapes.
      {"",
       true,
       false,
       Reading::kPasses,
       {"Add", "Sub", "Mul", "Pow", "Max", "Min", "Sum", "Mean", "Equal", "Less", "LessOrEqual",
        "Greater", "GreaterOrEqual", "Where", "And", "Or", "Xor", "Not", "PRelu"}},
      {"", true, true, Reading::kPasses, {"Div"}},
      {"", false, false, Reading::kPasses, {"Abs",         "Neg",
                                            "Sign",        "Floor",
                                            "Ceil",        "Round",
                                            "Sqrt",        "Reciprocal",
                                            "Exp",         "Log",
                                            "Erf",         "Clip",
                                            "IsNaN",       "IsInf",
                                            "Relu",        "LeakyRelu",
                                            "Elu",         "Selu",
                                            "Celu",        "Sigmoid",
                                            "HardSigmoid", "HardSwish",
                                            "Tanh",        "Softplus",
                                            "Softsign",    "ThresholdedRelu",
                                            "Gelu"}},
      // tensor/concat.cc, transpose.cc, slice.cc, split.cc, expand.cc, tile.cc, pad.cc, gather.cc,
      // ml/array_feature_extractor.cc: they move elements. The places come from shapes, attributes
      // and the other inputs.
      {"", true, false, Reading::kPasses, {"Concat"}},
      {"",
       false,
       false,
       Reading::kPasses,
       {"Transpose", "Slice", "Split", "Expand", "Tile", "Pad", "Gather"}},
      {kMl, false, false, Reading::kPasses, {"ArrayFeatureExtractor"}},
      // reduction/reduction_ops.cc, math/softmax.cc, nn/batch_norm.h, layer_norm.cc,
      // instance_norm.cc, lp_norm.h, pool.cc: they compute sums, maxima and minima. ArgMax, ArgMin,
      // Hardmax and MaxPool are excluded, because they keep a position.
      {"",
       false,
       false,
       Reading::kPasses,
       {"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2",
        "ReduceSumSquare", "Softmax", "LogSoftmax", "BatchNormalization", "LayerNormalization",
        "InstanceNormalization", "LpNormalization", "AveragePool", "GlobalAveragePool"}},
      // math/matmul.cc, gemm.cc, nn/conv.cc and their fused forms in contrib_ops/cpu: the inputs
      // are packed and multiplied.
      {"", true, false, Reading::kEnds, {"MatMul", "Gemm", "Conv"}},
      {kMicrosoft, true, false, Reading::kEnds, {"FusedMatMul", "FusedGemm", "FusedConv"}},
      // ml/scaler.cc, imputer.cc, normalizer.cc, binarizer.cc: element by element, or row by row.
      {kMl, false, false, Reading::kEnds, {"Scaler", "Imputer", "Normalizer", "Binarizer"}},
      // ml/linearclassifier.cc, linearregressor.cc, svmclassifier.cc, svmregressor.cc: a matrix
      // product. The class is chosen from scores that the kernel keeps in its own memory.
      {kMl,
       false,
       false,
       Reading::kEnds,
       {"LinearClassifier", "LinearRegressor", "SVMClassifier", "SVMRegressor"}},
      // ml/tree_ensemble_common.h: each node of a tree compares the value of one column, and the
      // model fixes the column. Either result of the comparison leads to a node of the tree.
      {kMl,
       false,
       false,
       Reading::kEnds,
       {"TreeEnsembleClassifier", "TreeEnsembleRegressor", "TreeEnsemble"}},
  };
  return *all;
}

std::string key_of(std::string_view domain, std::string_view op) {
  if (domain == "ai.onnx") domain = "";
  return std::string(domain) + ":" + std::string(op);
}

const ListedKernel* find_kernel(std::string_view domain, std::string_view op) {
  static const auto* by_name = [] {
    auto* map = new std::unordered_map<std::string, const ListedKernel*>;
    for (const ListedKernel& kernel : listed_kernels())
      map->emplace(key_of(kernel.domain, kernel.op), &kernel);
    return map;
  }();
  const auto found = by_name->find(key_of(domain, op));
  return found == by_name->end() ? nullptr : found->second;
}

struct Node {
  const ListedKernel* kernel = nullptr;
  std::vector<std::string_view> outputs;
};

struct Use {
  size_t node;
  size_t position;
};

// The nodes of the main graph that read each value. Holds views into the bytes of the file.
class Graph {
 public:
  // OnnxFile has already validated the same bytes and limited how deep graphs nest.
  explicit Graph(std::string_view model) {
    Reader reader(model);
    for (Field field; reader.next(&field);) {
      if (!field.is_bytes) continue;
      if (field.number == 7) read_graph(field.bytes);
      if (field.number == 25) has_functions_ = true;
    }
  }

  bool is_harmless(std::string_view input, bool is_float) const {
    if (has_functions_) return false;
    // The values that are still to be checked. The flag: the value may share the input's memory.
    std::vector<std::pair<std::string_view, bool>> open = {{input, true}};
    std::unordered_map<std::string_view, bool> seen;
    while (!open.empty()) {
      const auto [value, is_alias] = open.back();
      open.pop_back();
      const auto [entry, is_new] = seen.emplace(value, is_alias);
      if (!is_new && entry->second >= is_alias) continue;
      entry->second = is_alias;
      if (nested_.count(value) != 0 || (is_alias && outputs_.count(value) != 0)) return false;
      const auto uses = uses_.find(value);
      if (uses == uses_.end()) continue;
      for (const Use& use : uses->second) {
        const Node& node = nodes_[use.node];
        if (!may_read(node, use.position, is_float)) return false;
        if (node.kernel->reading == Reading::kEnds) continue;
        for (const std::string_view output : node.outputs)
          open.emplace_back(output, is_alias && node.kernel->reading == Reading::kAliases);
      }
    }
    return true;
  }

 private:
  static bool may_read(const Node& node, size_t position, bool is_float) {
    return node.kernel != nullptr && (position == 0 || node.kernel->every_input) &&
           (is_float || !node.kernel->floats_alone);
  }

  void read_graph(std::string_view message) {
    Reader reader(message);
    for (Field field; reader.next(&field);) {
      if (!field.is_bytes) continue;
      if (field.number == 1) read_node(field.bytes);
      if (field.number == 12) outputs_.insert(name_of(field.bytes));
    }
  }

  void read_node(std::string_view message) {
    Node node;
    std::string_view op, domain;
    bool casts_to_string = false;
    size_t position = 0;
    Reader reader(message);
    for (Field field; reader.next(&field);) {
      if (!field.is_bytes) continue;
      if (field.number == 1) uses_[field.bytes].push_back({nodes_.size(), position++});
      if (field.number == 2 && !field.bytes.empty()) node.outputs.push_back(field.bytes);
      if (field.number == 4) op = field.bytes;
      if (field.number == 5) casts_to_string = read_attribute(field.bytes) || casts_to_string;
      if (field.number == 7) domain = field.bytes;
    }
    if (op != "Cast" || !casts_to_string) node.kernel = find_kernel(domain, op);
    nodes_.push_back(std::move(node));
  }

  // Returns whether this is the attribute with which a Cast produces strings.
  bool read_attribute(std::string_view message) {
    std::string_view name;
    uint64_t number = 0;
    Reader reader(message);
    for (Field field; reader.next(&field);) {
      if (field.number == 1 && field.is_bytes) name = field.bytes;
      if (field.number == 3 && !field.is_bytes) number = field.value;
      if ((field.number == 6 || field.number == 11) && field.is_bytes) read_nested(field.bytes);
    }
    return name == "to" && number == SIDECALL_DTYPE_STRING;
  }

  // A nested graph can use all values of the graphs around it. Every value that it mentions counts
  // as read in an unsafe way.
  void read_nested(std::string_view message) {
    Reader reader(message);
    for (Field field; reader.next(&field);) {
      if (!field.is_bytes) continue;
      if (field.number == 12) nested_.insert(name_of(field.bytes));
      if (field.number != 1) continue;
      Reader node(field.bytes);
      for (Field part; node.next(&part);) {
        if (part.number == 1 && part.is_bytes) nested_.insert(part.bytes);
        if (part.number == 5 && part.is_bytes) read_attribute(part.bytes);
      }
    }
  }

  static std::string_view name_of(std::string_view value_info) {
    std::string_view name;
    Reader reader(value_info);
    for (Field field; reader.next(&field);) {
      if (field.number == 1 && field.is_bytes) name = field.bytes;
    }
    return name;
  }

  bool has_functions_ = false;
  std::vector<Node> nodes_;
  std::unordered_map<std::string_view, std::vector<Use>> uses_;
  std::unordered_set<std::string_view> outputs_;
  std::unordered_set<std::string_view> nested_;
};

bool is_float(int32_t dtype) {
  return dtype == SIDECALL_DTYPE_FLOAT32 || dtype == SIDECALL_DTYPE_FLOAT64 ||
         dtype == SIDECALL_DTYPE_FLOAT16;
}

bool is_integer(int32_t dtype) {
  return (dtype >= SIDECALL_DTYPE_UINT8 && dtype <= SIDECALL_DTYPE_INT64) ||
         dtype == SIDECALL_DTYPE_UINT32 || dtype == SIDECALL_DTYPE_UINT64;
}

}  // namespace

const std::vector<ListedKernel>& listed_kernels() {
  static const auto* all = [] {
    auto* kernels = new std::vector<ListedKernel>;
    for (const Group& group : groups()) {
      for (const std::string_view op : group.ops)
        kernels->push_back(
            {group.domain, op, group.every_input, group.floats_alone, group.reading});
    }
    return kernels;
  }();
  return *all;
}

std::vector<bool> readable_in_place(const OnnxFile& file, const std::vector<TensorSpec>& inputs) {
  std::vector<bool> readable(inputs.size(), false);
  const Graph graph(file.bytes());
  for (size_t i = 0; i < inputs.size(); ++i) {
    // Booleans are copied, so that their bytes cannot change after check_inputs() has checked them:
    // compiled code misbehaves with a byte that is neither 0 nor 1.
    const int32_t dtype = inputs[i].dtype;
    if (is_float(dtype) || is_integer(dtype))
      readable[i] = graph.is_harmless(inputs[i].name, is_float(dtype));
  }
  return readable;
}

}  // namespace sidecall
