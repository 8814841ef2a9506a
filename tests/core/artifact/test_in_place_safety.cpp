// Which inputs are read in place and which are copied: inputs of listed and of unlisted kernels,
// nodes that the optimiser may remove, and element types.
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <string>
#include <vector>

#include "core/artifact/in_place_safety.h"
#include "engines/native/engine.h"
#include "engines/onnxruntime/engine.h"
#include "onnx_builder.h"

using onnx::Attributes;
using onnx::Graph;
using sidecall::OnnxFile;
using sidecall::TensorSpec;

namespace {

constexpr int32_t kFloat = SIDECALL_DTYPE_FLOAT32;

std::vector<bool> ask(const Graph& graph, const std::string& more = "") {
  std::vector<TensorSpec> inputs;
  for (const onnx::Value& value : graph.inputs)
    inputs.push_back({value.name, value.dtype, value.dims, {}});
  return sidecall::readable_in_place(OnnxFile(graph.model(17, 3, more), "", "test"), inputs);
}

bool in_place(const Graph& graph) { return ask(graph).at(0); }

// x -> op -> y, where y is the output.
Graph one(const std::string& op, int32_t dtype = kFloat, const Attributes& attributes = {},
          const std::string& domain = "") {
  return Graph()
      .input("x", dtype, {-1, 4})
      .node(op, {"x"}, {"y"}, attributes, domain)
      .output("y", kFloat, {-1, 4});
}

// x -> `first` -> TopK.
Graph before_top_k(const std::string& first, const onnx::Names& more = {},
                   const Attributes& attributes = {}) {
  onnx::Names inputs = {"x"};
  inputs.insert(inputs.end(), more.begin(), more.end());
  return Graph()
      .input("x", kFloat, {-1, 4})
      .constant("c", {1}, std::vector<float>{0})
      .constant("k", {1}, std::vector<int64_t>{1})
      .node(first, inputs, {"y"}, attributes)
      .node("TopK", {"y", "k"}, {"values", "indices"})
      .output("values", kFloat, {-1, 1});
}

}  // namespace

TEST_CASE(
    "the inputs of every listed kernel are read in place, unless an unlisted kernel reads them "
    "too") {
  for (const auto& kernel : sidecall::listed_kernels()) {
    CAPTURE(kernel.domain, kernel.op);
    const std::string op(kernel.op), domain(kernel.domain);
    // MatMul follows every kernel. Some kernels return the memory of their input. If that memory
    // were an output of the graph, the input would be copied. MatMul writes to memory of its own.
    Graph graph;
    graph.input("x", kFloat, {-1, 4}).input("z", kFloat, {-1, 4});
    graph.node(op, {"x", "z"}, {"y"}, {}, domain)
        .node("MatMul", {"y", "y"}, {"out"})
        .output("out", kFloat, {-1, 4});
    CHECK(ask(graph) == std::vector<bool>{true, kernel.every_input});
    graph.node("NonZero", {"x"}, {"other"}).output("other", SIDECALL_DTYPE_INT64, {-1, -1});
    CHECK_FALSE(in_place(graph));
  }
}

TEST_CASE("the input of an unlisted kernel is copied") {
  const std::string op = GENERATE(
      "Gather", "GatherElements", "GatherND", "ScatterND", "ScatterElements", "NonZero", "TopK",
      "OneHot", "ArgMax", "ArgMin", "Hardmax", "MaxPool", "Mod", "Compress", "Unique", "Resize",
      "Range", "ConstantOfShape", "GridSample", "RoiAlign", "NonMaxSuppression", "ReverseSequence",
      "CumSum", "BitShift", "Sin", "LSTM", "DequantizeLinear", "QuantizeLinear", "QLinearMatMul",
      "StringNormalizer", "If", "Loop", "Scan", "Anything", "");
  // The data input of Gather may be read in place, its index may not.
  const size_t position = op == "Gather" ? 1 : 0;
  CAPTURE(op);
  const onnx::Names inputs = position == 0 ? onnx::Names{"x", "z"} : onnx::Names{"z", "x"};
  Graph graph;
  graph.input("x", kFloat, {-1, 4})
      .input("z", kFloat, {4})
      .node(op, inputs, {"y"})
      .output("y", kFloat, {-1, 4});
  CHECK_FALSE(in_place(graph));
}

TEST_CASE("inputs of unlisted operators of ai.onnx.ml and of other domains are copied") {
  for (const char* op : {"CategoryMapper", "LabelEncoder", "OneHotEncoder", "CastMap",
                         "DictVectorizer", "ZipMap", "FeatureVectorizer"}) {
    CAPTURE(op);
    CHECK_FALSE(in_place(one(op, SIDECALL_DTYPE_INT64, {}, "ai.onnx.ml")));
  }
  CHECK_FALSE(in_place(one("Relu", kFloat, {}, "ai.onnx.ml")));
  CHECK_FALSE(in_place(one("Scaler", kFloat, {}, "")));
  CHECK_FALSE(in_place(one("Relu", kFloat, {}, "com.example")));
  CHECK(in_place(one("Relu", kFloat, {}, "ai.onnx")));  // an alternative name of the default domain
}

TEST_CASE("inputs that a kernel uses as sizes or indices are copied") {
  for (const char* op : {"Reshape", "Slice", "Expand", "Tile", "Pad", "Split", "Unsqueeze",
                         "ReduceSum", "Clip", "Dropout"}) {
    CAPTURE(op);
    Graph graph;
    graph.input("x", SIDECALL_DTYPE_INT64, {2}).constant("c", {2}, std::vector<float>{0, 1});
    graph.node(op, {"c", "x"}, {"y"})
        .node("MatMul", {"y", "c"}, {"out"})
        .output("out", kFloat, {-1});
    CHECK_FALSE(in_place(graph));
  }
}

TEST_CASE("an input is copied if an unlisted kernel follows nodes that the optimiser can remove") {
  CHECK_FALSE(in_place(before_top_k("Add", {"c"})));
  CHECK_FALSE(in_place(before_top_k("Mul", {"c"})));
  CHECK_FALSE(in_place(before_top_k("Transpose")));
  CHECK_FALSE(in_place(before_top_k("Identity")));
  CHECK_FALSE(in_place(before_top_k("Cast", {}, {{"to", SIDECALL_DTYPE_FLOAT32}})));
  CHECK_FALSE(in_place(before_top_k("Concat", {}, {{"axis", 0}})));
  CHECK_FALSE(in_place(before_top_k("Relu")));
  CHECK(in_place(before_top_k("MatMul", {"c"})));
  CHECK(in_place(before_top_k("Shape")));
}

TEST_CASE("an input whose memory could become an output is copied") {
  CHECK_FALSE(in_place(Graph().input("x", kFloat, {2}).output("x", kFloat, {2})));
  for (const char* op : {"Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Dropout"}) {
    CAPTURE(op);
    CHECK_FALSE(in_place(one(op)));
  }
  Graph chain;
  chain.input("x", kFloat, {2})
      .node("Flatten", {"x"}, {"a"})
      .node("Identity", {"a"}, {"b"})
      .output("b", kFloat, {2});
  CHECK_FALSE(in_place(chain));
  Graph computed;
  computed.input("x", kFloat, {2})
      .node("Identity", {"x"}, {"a"})
      .node("Neg", {"a"}, {"b"})
      .node("Identity", {"b"}, {"c"})
      .output("c", kFloat, {2});
  CHECK(in_place(computed));
  computed.output("a", kFloat, {2});
  CHECK_FALSE(in_place(computed));
}

TEST_CASE("a value reached both by an alias and by a computation counts as an alias") {
  Graph graph;
  graph.input("x", kFloat, {2})
      .node("Neg", {"x"}, {"n"})
      .node("Identity", {"x"}, {"a"})
      .node("Add", {"n", "a"}, {"s"});
  graph.node("Identity", {"s"}, {"t"}).output("t", kFloat, {2});
  CHECK(in_place(graph));
  graph.output("a", kFloat, {2});
  CHECK_FALSE(in_place(graph));
}

TEST_CASE("an input that a nested graph uses is copied") {
  const auto holder = [](const std::string& nested, const char* attribute) {
    Graph graph;
    graph.input("x", kFloat, {2})
        .input("p", SIDECALL_DTYPE_BOOL, {})
        .node("Neg", {"x"}, {"n"})
        .output("n", kFloat, {2});
    graph.node("If", {"p"}, {"y"}, {onnx::Attribute::of_graph(attribute, nested)})
        .output("y", kFloat, {2});
    return graph;
  };
  CHECK(in_place(
      holder(Graph().node("Neg", {"q"}, {"z"}).output("z", kFloat, {2}).message(), "then_branch")));
  CHECK_FALSE(in_place(
      holder(Graph().node("Neg", {"x"}, {"z"}).output("z", kFloat, {2}).message(), "then_branch")));
  CHECK_FALSE(in_place(
      holder(Graph().node("Neg", {"n"}, {"z"}).output("z", kFloat, {2}).message(), "else_branch")));
  CHECK_FALSE(in_place(holder(Graph().output("x", kFloat, {2}).message(), "body")));
  const std::string deep =
      Graph()
          .node("If", {"q"}, {"z"},
                {onnx::Attribute::of_graph("body", Graph().output("x", kFloat, {2}).message())})
          .message();
  CHECK_FALSE(in_place(holder(deep, "then_branch")));
}

TEST_CASE("strings, bools and packed types are copied for every kernel") {
  for (const int32_t dtype :
       {SIDECALL_DTYPE_STRING, SIDECALL_DTYPE_BOOL, SIDECALL_DTYPE_BFLOAT16,
        SIDECALL_DTYPE_FLOAT8E4M3FN, SIDECALL_DTYPE_UINT4, SIDECALL_DTYPE_INT4}) {
    CAPTURE(dtype);
    CHECK_FALSE(in_place(one("Cast", dtype, {{"to", SIDECALL_DTYPE_FLOAT32}})));
  }
  for (const int32_t dtype : {SIDECALL_DTYPE_FLOAT32, SIDECALL_DTYPE_FLOAT64,
                              SIDECALL_DTYPE_FLOAT16, SIDECALL_DTYPE_UINT8, SIDECALL_DTYPE_INT8,
                              SIDECALL_DTYPE_INT32, SIDECALL_DTYPE_INT64, SIDECALL_DTYPE_UINT64}) {
    CAPTURE(dtype);
    CHECK(in_place(one("Cast", dtype, {{"to", SIDECALL_DTYPE_FLOAT32}})));
    CHECK_FALSE(in_place(one("Cast", dtype, {{"to", SIDECALL_DTYPE_STRING}})));
  }
}

TEST_CASE("integer inputs of a division are copied, because the kernel checks for zeros first") {
  for (const auto& [dtype, expected] :
       std::vector<std::pair<int32_t, bool>>{{SIDECALL_DTYPE_FLOAT64, true},
                                             {SIDECALL_DTYPE_INT32, false},
                                             {SIDECALL_DTYPE_UINT8, false}}) {
    CAPTURE(dtype);
    Graph graph;
    graph.input("x", dtype, {2})
        .constant("c", {2}, std::vector<float>{1, 1})
        .node("Div", {"c", "x"}, {"y"})
        .output("y", dtype, {2});
    CHECK(in_place(graph) == expected);
  }
}

TEST_CASE(
    "inputs of a graph with its own functions are copied, because a function can have the name of "
    "a listed kernel") {
  const std::string function = onnx::bytes(25, onnx::bytes(1, "Relu"));
  CHECK(ask(one("Relu")) == std::vector<bool>{true});
  CHECK(ask(one("Relu"), function) == std::vector<bool>{false});
}

TEST_CASE(
    "unused inputs, inputs beside absent optional ones and inputs of cyclic graphs are read in "
    "place") {
  Graph graph;
  graph.input("unused", kFloat, {2})
      .input("x", kFloat, {2})
      .node("Clip", {"x", "", ""}, {"y"})
      .output("y", kFloat, {2});
  CHECK(ask(graph) == std::vector<bool>{true, true});
  Graph ring;
  ring.input("x", kFloat, {2})
      .node("Add", {"x", "b"}, {"a"})
      .node("Neg", {"a"}, {"b"})
      .output("b", kFloat, {2});
  CHECK(in_place(ring));
}

TEST_CASE("ONNX Runtime reads the inputs of listed kernels in place, and the native engine none") {
  const OnnxFile file(one("Relu").model(17, 3, ""), "", "test");
  sidecall_model_options options;
  sidecall_model_options_init(&options);
  CHECK(sidecall::open_ort_engine(file, "test", options)->readable_in_place(file) ==
        std::vector<bool>{true});
  CHECK(sidecall::open_native_engine(file, "test", options)->readable_in_place(file).empty());
}
