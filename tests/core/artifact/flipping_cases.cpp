// Builds the models of flipping_cases.h.
#include "flipping_cases.h"

#include <limits>

namespace {

using onnx::Attribute;
using onnx::Attributes;
using onnx::Graph;
using onnx::Names;
using sidecall::Dims;
using Floats = std::vector<float>;
using Ints = std::vector<int64_t>;

constexpr int32_t kFloat = SIDECALL_DTYPE_FLOAT32;
const Dims kMatrix = {64, 8};
const Dims kImage = {2, 2, 12, 12};
const char* const kMl = "ai.onnx.ml";
const char* const kMicrosoft = "com.microsoft";
const Floats kEight = {0.5F, -1, 2, 3, -0.25F, 1, 7, 0.1F};

class Cases {
 public:
  std::vector<FlippingCase> made;

  void add(const std::string& op, const Graph& graph, const std::string& domain = "",
           int64_t opset = 17, int64_t ml_opset = 3) {
    made.push_back({domain + ":" + op, graph, opset, ml_opset, false});
  }

  // x -> op -> y
  void unary(const std::string& op, const Attributes& attributes = {}, int64_t opset = 17,
             int32_t gives = kFloat) {
    add(op,
        Graph()
            .input("x", kFloat, kMatrix)
            .node(op, {"x"}, {"y"}, attributes)
            .output("y", gives, kMatrix),
        "", opset);
  }

  // x, z -> op -> y: with equal shapes, with a row z that is broadcast, and with a single element z
  // that is broadcast.
  void binary(const std::string& op, int32_t takes = kFloat, int32_t gives = kFloat) {
    for (const Dims& dims : {kMatrix, Dims{8}, Dims{1}}) {
      add(op, Graph()
                  .input("x", takes, kMatrix)
                  .input("z", takes, dims)
                  .node(op, {"x", "z"}, {"y"})
                  .output("y", gives, kMatrix));
    }
  }

  // x and a constant -> op -> Neg -> y. Some kernels return the memory of their input as it is, and
  // only the next kernel, here Neg, reads it.
  void with(const std::string& op, const Ints& second, const Dims& gives,
            const Attributes& attributes = {}) {
    Graph graph;
    graph.input("x", kFloat, kMatrix).constant("c", {static_cast<int64_t>(second.size())}, second);
    graph.node(op, {"x", "c"}, {"t"}, attributes)
        .node("Neg", {"t"}, {"y"})
        .output("y", kFloat, gives);
    add(op, graph);
  }

  void ml(const std::string& op, const Attributes& attributes, const Dims& gives,
          int32_t takes = kFloat) {
    add(op,
        Graph()
            .input("x", takes, kMatrix)
            .node(op, {"x"}, {"y"}, attributes, kMl)
            .output("y", kFloat, gives),
        kMl);
  }

  void classifier(const std::string& op, const Attributes& attributes, int64_t classes,
                  int32_t takes = kFloat) {
    Graph graph;
    graph.input("x", takes, kMatrix).node(op, {"x"}, {"label", "scores"}, attributes, kMl);
    add(op,
        graph.output("label", SIDECALL_DTYPE_INT64, {64}).output("scores", kFloat, {64, classes}),
        kMl);
  }
};

void add_elements(Cases* cases) {
  for (const char* op : {"Abs",
                         "Neg",
                         "Sign",
                         "Floor",
                         "Ceil",
                         "Round",
                         "Sqrt",
                         "Reciprocal",
                         "Exp",
                         "Log",
                         "Erf",
                         "Clip",
                         "Relu",
                         "LeakyRelu",
                         "Elu",
                         "Selu",
                         "Celu",
                         "Sigmoid",
                         "HardSwish",
                         "Tanh",
                         "Softplus",
                         "Softsign",
                         "ThresholdedRelu",
                         "HardSigmoid",
                         "Softmax",
                         "LogSoftmax",
                         "LpNormalization"})
    cases->unary(op);
  cases->unary("Gelu", {}, 20);
  cases->unary("IsNaN", {}, 17, SIDECALL_DTYPE_BOOL);
  cases->unary("IsInf", {}, 17, SIDECALL_DTYPE_BOOL);
  cases->unary("Cast", {{"to", SIDECALL_DTYPE_FLOAT64}}, 17, SIDECALL_DTYPE_FLOAT64);
  cases->unary("Cast", {{"to", SIDECALL_DTYPE_INT64}}, 17, SIDECALL_DTYPE_INT64);
  cases->unary("Cast", {{"to", SIDECALL_DTYPE_INT8}}, 17, SIDECALL_DTYPE_INT8);
  cases->unary("Cast", {{"to", SIDECALL_DTYPE_BOOL}}, 17, SIDECALL_DTYPE_BOOL);
  for (const char* op : {"Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Sum", "Mean", "PRelu"})
    cases->binary(op);
  for (const char* op : {"Add", "Sub", "Mul", "Max"})
    cases->binary(op, SIDECALL_DTYPE_INT64, SIDECALL_DTYPE_INT64);
  for (const char* op : {"Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"}) {
    cases->binary(op, kFloat, SIDECALL_DTYPE_BOOL);
    cases->binary(op, SIDECALL_DTYPE_INT64, SIDECALL_DTYPE_BOOL);
  }
  for (const char* op : {"And", "Or", "Xor"}) {
    Graph graph;
    graph.input("x", kFloat, kMatrix)
        .input("z", kFloat, kMatrix)
        .node("IsNaN", {"x"}, {"a"})
        .node("IsNaN", {"z"}, {"b"});
    cases->add(op, graph.node(op, {"a", "b"}, {"y"}).output("y", SIDECALL_DTYPE_BOOL, kMatrix));
  }
  Graph negated;
  negated.input("x", kFloat, kMatrix).node("IsNaN", {"x"}, {"a"}).node("Not", {"a"}, {"y"});
  cases->add("Not", negated.output("y", SIDECALL_DTYPE_BOOL, kMatrix));
  Graph chosen;
  chosen.input("x", kFloat, kMatrix)
      .input("z", kFloat, kMatrix)
      .node("IsNaN", {"x"}, {"a"})
      .node("Where", {"a", "z", "x"}, {"y"});
  cases->add("Where", chosen.output("y", kFloat, kMatrix));
}

void add_movers(Cases* cases) {
  const auto alias = [&](const std::string& op, const Dims& takes, const Dims& gives) {
    cases->add(op, Graph()
                       .input("x", kFloat, takes)
                       .node(op, {"x"}, {"t"})
                       .node("Neg", {"t"}, {"y"})
                       .output("y", kFloat, gives));
  };
  alias("Identity", kMatrix, kMatrix);
  alias("Flatten", kImage, {2, 288});
  alias("Squeeze", {64, 1, 8}, kMatrix);
  alias("Dropout", kMatrix, kMatrix);
  alias("Transpose", kMatrix, {8, 64});
  cases->with("Reshape", {8, 64}, {8, 64});
  cases->with("Unsqueeze", {1}, {64, 1, 8});
  cases->with("Expand", {3, 64, 8}, {3, 64, 8});
  cases->with("Tile", {2, 1}, {128, 8});
  cases->with("Pad", {1, 0, 0, 2}, {65, 10});
  cases->with("Gather", {7, 0, -1}, {64, 3}, {{"axis", 1}});
  cases->with("ReduceSum", {1}, {64, 1});
  cases->unary("Shape", {}, 17, SIDECALL_DTYPE_INT64);
  cases->made.back().graph = Graph()
                                 .input("x", kFloat, kMatrix)
                                 .node("Shape", {"x"}, {"y"})
                                 .output("y", SIDECALL_DTYPE_INT64, {2});
  cases->add("Size", Graph()
                         .input("x", kFloat, kMatrix)
                         .node("Size", {"x"}, {"y"})
                         .output("y", SIDECALL_DTYPE_INT64, {}));
  Graph slice;
  slice.input("x", kFloat, kMatrix)
      .constant("from", {2}, Ints{3, 1})
      .constant("to", {2}, Ints{60, 7});
  cases->add("Slice", slice.node("Slice", {"x", "from", "to"}, {"y"}).output("y", kFloat, {57, 6}));
  Graph split;
  split.input("x", kFloat, kMatrix).node("Split", {"x"}, {"a", "b"}, {{"axis", 1}});
  cases->add("Split", split.output("a", kFloat, {64, 4}).output("b", kFloat, {64, 4}));
  Graph concat;
  concat.input("x", kFloat, kMatrix)
      .input("z", kFloat, kMatrix)
      .node("Concat", {"x", "z"}, {"y"}, {{"axis", 1}});
  cases->add("Concat", concat.output("y", kFloat, {64, 16}));
  Graph columns;
  columns.input("x", kFloat, kMatrix)
      .constant("c", {3}, Ints{7, 0, 2})
      .node("ArrayFeatureExtractor", {"x", "c"}, {"y"}, {}, kMl);
  cases->add("ArrayFeatureExtractor", columns.output("y", kFloat, {64, 3}), kMl);
}

void add_sums(Cases* cases) {
  for (const char* op : {"ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1",
                         "ReduceL2", "ReduceSumSquare"}) {
    for (const int64_t axis : {0, 1}) {
      const Dims gives = axis == 0 ? Dims{1, 8} : Dims{64, 1};
      Graph graph;
      graph.input("x", kFloat, kMatrix)
          .node(op, {"x"}, {"y"}, {{"axes", Ints{axis}}})
          .output("y", kFloat, gives);
      cases->add(op, graph);
    }
  }
  Graph batch;
  batch.input("x", kFloat, kMatrix)
      .constant("c", {8}, kEight)
      .node("BatchNormalization", {"x", "c", "c", "c", "c"}, {"y"});
  cases->add("BatchNormalization", batch.output("y", kFloat, kMatrix));
  Graph layer;
  layer.input("x", kFloat, kMatrix)
      .constant("c", {8}, kEight)
      .node("LayerNormalization", {"x", "c", "c"}, {"y"});
  cases->add("LayerNormalization", layer.output("y", kFloat, kMatrix));
  Graph instance;
  instance.input("x", kFloat, kImage)
      .constant("c", {2}, Floats{1, 2})
      .node("InstanceNormalization", {"x", "c", "c"}, {"y"});
  cases->add("InstanceNormalization", instance.output("y", kFloat, kImage));
  Graph pool;
  pool.input("x", kFloat, kImage)
      .node("AveragePool", {"x"}, {"y"}, {{"kernel_shape", Ints{3, 3}}})
      .output("y", kFloat, {2, 2, 10, 10});
  cases->add("AveragePool", pool);
  Graph global;
  global.input("x", kFloat, kImage)
      .node("GlobalAveragePool", {"x"}, {"y"})
      .output("y", kFloat, {2, 2, 1, 1});
  cases->add("GlobalAveragePool", global);
}

void add_products(Cases* cases) {
  const auto product = [&](const std::string& op, const Names& takes, const Attributes& attributes,
                           const std::string& domain) {
    Graph graph;
    graph.input("x", kFloat, kMatrix).input("w", kFloat, {8, 5});
    if (takes.size() > 2) graph.input("b", kFloat, {5});
    cases->add(op, graph.node(op, takes, {"y"}, attributes, domain).output("y", kFloat, {64, 5}),
               domain);
  };
  product("MatMul", {"x", "w"}, {}, "");
  product("Gemm", {"x", "w", "b"}, {}, "");
  product("FusedMatMul", {"x", "w"}, {{"alpha", 0.5F}}, kMicrosoft);
  product("FusedGemm", {"x", "w", "b"}, {{"activation", "Relu"}}, kMicrosoft);
  const auto convolution = [&](const std::string& op, const Attributes& attributes,
                               const std::string& domain) {
    Graph graph;
    graph.input("x", kFloat, kImage).input("w", kFloat, {3, 2, 3, 3}).input("b", kFloat, {3});
    cases->add(op,
               graph.node(op, {"x", "w", "b"}, {"y"}, attributes, domain)
                   .output("y", kFloat, {2, 3, 10, 10}),
               domain);
  };
  convolution("Conv", {}, "");
  convolution("FusedConv", {{"activation", "Relu"}}, kMicrosoft);
  // The optimiser changes the memory layout of these nodes.
  Graph blocked;
  blocked.input("x", kFloat, {1, 16, 12, 12}).constant("w", {16, 16, 3, 3}, Floats(2304, 0.1F));
  blocked.node("Conv", {"x", "w"}, {"c"})
      .node("Relu", {"c"}, {"r"})
      .node("GlobalAveragePool", {"r"}, {"y"});
  cases->add("Conv", blocked.output("y", kFloat, {1, 16, 1, 1}));
  // The optimiser moves, fuses or removes the nodes in front of the node that is tested here.
  Graph fused;
  fused.input("x", kFloat, kMatrix)
      .constant("w", {64, 5}, Floats(320, 0.5F))
      .constant("zero", {1}, Floats{0})
      .constant("b", {5}, Floats(5, 1));
  fused.node("Add", {"x", "zero"}, {"a"})
      .node("Transpose", {"a"}, {"t"})
      .node("MatMul", {"t", "w"}, {"m"})
      .node("Add", {"m", "b"}, {"s"});
  cases->add("MatMul", fused.node("Relu", {"s"}, {"y"}).output("y", kFloat, {8, 5}));
}

Attributes tree(const std::string& leaf, const std::string& id) {
  const Floats values = {0.5F, -1e30F, 0, 0, 0};
  return {
      {"nodes_treeids", Ints(5, 0)},
      {"nodes_nodeids", Ints{0, 1, 2, 3, 4}},
      {"nodes_featureids", Ints{7, 0, 0, 0, 0}},
      {"nodes_modes", std::vector<std::string>{"BRANCH_LEQ", "BRANCH_LEQ", "LEAF", "LEAF", "LEAF"}},
      {"nodes_values", values},
      {"nodes_truenodeids", Ints{1, 3, 0, 0, 0}},
      {"nodes_falsenodeids", Ints{2, 4, 0, 0, 0}},
      {"nodes_missing_value_tracks_true", Ints{1, 0, 0, 0, 0}},
      {leaf + "_treeids", Ints(3, 0)},
      {leaf + "_nodeids", Ints{2, 3, 4}},
      {leaf + "_" + id, Ints{0, 1, 2}},
      {leaf + "_weights", Floats{1, 2, 3}}};
}

Attributes joined(Attributes first, const Attributes& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

void add_trees(Cases* cases) {
  for (const int32_t takes :
       {SIDECALL_DTYPE_FLOAT32, SIDECALL_DTYPE_FLOAT64, SIDECALL_DTYPE_INT64}) {
    cases->classifier("TreeEnsembleClassifier",
                      joined(tree("class", "ids"), {{"classlabels_int64s", Ints{5, 6, 7}}}), 3,
                      takes);
  }
  cases->ml("TreeEnsembleRegressor", joined(tree("target", "ids"), {{"n_targets", 3}}), {64, 3});
  const float nan = std::numeric_limits<float>::quiet_NaN();
  // Mode 6 tests whether the feature is one of {1, 2, 31}.
  const std::vector<uint8_t> modes = {6};
  const Attributes attributes = {
      {"n_targets", 2},
      {"tree_roots", Ints{0}},
      {"nodes_featureids", Ints{7}},
      {"nodes_truenodeids", Ints{0}},
      {"nodes_trueleafs", Ints{1}},
      {"nodes_falsenodeids", Ints{1}},
      {"nodes_falseleafs", Ints{1}},
      {"leaf_targetids", Ints{0, 1}},
      Attribute::of_tensor("nodes_modes",
                           onnx::tensor("", SIDECALL_DTYPE_UINT8, {1}, onnx::raw(modes))),
      Attribute::of_tensor("nodes_splits", onnx::tensor("", kFloat, {1}, onnx::raw(Floats{0}))),
      Attribute::of_tensor("membership_values",
                           onnx::tensor("", kFloat, {4}, onnx::raw(Floats{1, 2, 31, nan}))),
      Attribute::of_tensor("leaf_weights",
                           onnx::tensor("", kFloat, {2}, onnx::raw(Floats{1, -1})))};
  Graph graph;
  graph.input("x", kFloat, kMatrix)
      .node("TreeEnsemble", {"x"}, {"y"}, attributes, kMl)
      .output("y", kFloat, {64, 2});
  cases->add("TreeEnsemble", graph, kMl, 20, 5);
}

void add_machine_learning(Cases* cases) {
  for (const int32_t takes :
       {SIDECALL_DTYPE_FLOAT32, SIDECALL_DTYPE_FLOAT64, SIDECALL_DTYPE_INT64}) {
    cases->ml("Scaler", {{"offset", kEight}, {"scale", kEight}}, kMatrix, takes);
    for (const char* norm : {"MAX", "L1", "L2"})
      cases->ml("Normalizer", {{"norm", norm}}, kMatrix, takes);
    Floats coefficients(kEight);
    coefficients.insert(coefficients.end(), kEight.rbegin(), kEight.rend());
    cases->classifier("LinearClassifier",
                      {{"coefficients", coefficients},
                       {"intercepts", Floats{0, 1}},
                       {"classlabels_ints", Ints{3, 4}}},
                      2, takes);
    const Attributes vectors = {{"kernel_type", "RBF"},
                                {"kernel_params", Floats{0.1F, 0, 3}},
                                {"support_vectors", coefficients}};
    cases->classifier("SVMClassifier",
                      joined(vectors, {{"coefficients", Floats{1, -1}},
                                       {"rho", Floats{0.1F}},
                                       {"vectors_per_class", Ints{1, 1}},
                                       {"classlabels_ints", Ints{3, 4}}}),
                      2, takes);
  }
  cases->ml("LinearRegressor", {{"coefficients", kEight}, {"intercepts", Floats{1}}}, {64, 1});
  Floats support(kEight);
  support.insert(support.end(), kEight.begin(), kEight.end());
  cases->ml("SVMRegressor",
            {{"kernel_type", "RBF"},
             {"kernel_params", Floats{0.1F, 0, 3}},
             {"support_vectors", support},
             {"coefficients", Floats{1, -1}},
             {"rho", Floats{0.1F}},
             {"n_supports", 2}},
            {64, 1});
  cases->ml("Imputer",
            {{"imputed_value_floats", kEight},
             {"replaced_value_float", std::numeric_limits<float>::quiet_NaN()}},
            kMatrix);
  cases->ml("Binarizer", {{"threshold", 0.5F}}, kMatrix);
  cases->made.back().may_refuse = true;  // the kernel does not accept NaN
}

}  // namespace

std::vector<FlippingCase> flipping_cases() {
  Cases cases;
  add_elements(&cases);
  add_movers(&cases);
  add_sums(&cases);
  add_products(&cases);
  add_machine_learning(&cases);
  add_trees(&cases);
  return cases.made;
}
