// The native engine: batches that run in slices of rows. Whether a batch was sliced, the order of
// errors and the end of a run between two slices are not visible through the C ABI.
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <cstring>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "engines/native/batch.h"
#include "engines/native/plan.h"
#include "tests/core/artifact/onnx_builder.h"

using onnx::Attributes;
using onnx::Graph;
using sidecall::Dims;
using sidecall::EngineInput;
using sidecall::native::Batch;
using sidecall::native::Interrupt;
using sidecall::native::Interrupted;
using sidecall::native::kRowStep;
using sidecall::native::Plan;
using sidecall::native::Program;

namespace {

constexpr int32_t kFloat = SIDECALL_DTYPE_FLOAT32;
constexpr int32_t kInt64 = SIDECALL_DTYPE_INT64;
constexpr int32_t kBool = SIDECALL_DTYPE_BOOL;
constexpr int64_t kN = -1;  // the number of rows

const std::atomic<bool> not_requested{false};

Plan compile(const Graph& graph) {
  EngineInput input;
  input.written = graph.model();
  return Plan(std::move(input), "test: ");
}

std::vector<float> numbers(int64_t count) {
  std::vector<float> result;
  for (int64_t i = 0; i < count; ++i)
    result.push_back(static_cast<float>((i * 7919) % 1000) / 37 - 11);
  return result;
}

// Rows whose sums depend on the order of the terms, and on where a row lies in its tensor.
Graph sums() {
  return Graph()
      .input("x", kFloat, {kN, 5})
      .constant("w", {1, 5}, std::vector<float>{3, 0.1F, -7, 1e-4F, 19})
      .constant("m", {5, 3}, numbers(15))
      .constant("axis", {1}, std::vector<int64_t>{1})
      .node("Mul", {"x", "w"}, {"scaled"})
      .node("ReduceSum", {"scaled", "axis"}, {"sums"})
      .node("Softmax", {"scaled"}, {"shares"})
      .node("MatMul", {"shares", "m"}, {"product"})
      .node("Add", {"product", "sums"}, {"y"})
      .output("y", kFloat, {kN, 3})
      .output("sums", kFloat, {kN, 1});
}

// What a Batch or a Program answers for x.
template <typename Runner>
std::vector<std::string> answers(Runner* runner, std::vector<float> x, int64_t rows) {
  const Interrupt never(not_requested);
  runner->prepare({Dims{rows, 5}}, never);
  runner->set_input(0, x.data());
  std::vector<std::string> results;
  for (size_t i = 0; i < 2; ++i) results.emplace_back(bytes_of(runner->output(i)), 'x');
  for (size_t i = 0; i < 2; ++i) runner->set_output(i, results[i].data());
  runner->run(never);
  for (size_t i = 0; i < 2; ++i) CHECK(runner->output(i).dims == Dims{rows, i == 0 ? 3 : 1});
  return results;
}

// The error of dividing a by b and then looking up `at`, all of int64.
std::string error_of(const Plan& plan, std::vector<int64_t> b, std::vector<int64_t> at) {
  const auto rows = static_cast<int64_t>(b.size());
  const Interrupt never(not_requested);
  std::vector<int64_t> quotients(b.size()), found(b.size());
  Batch batch(plan);
  batch.prepare({Dims{rows}, Dims{rows}}, never);
  batch.set_input(0, b.data());
  batch.set_input(1, at.data());
  batch.set_output(0, quotients.data());
  batch.set_output(1, found.data());
  try {
    batch.run(never);
  } catch (const sidecall::Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a batch in slices has the bits of a batch that runs at once") {
  const Plan plan = compile(sums());
  const int64_t slice = plan.slice_rows();
  REQUIRE(slice > 0);
  CHECK(slice % kRowStep == 0);
  Batch batch(plan);
  for (const int64_t rows : {slice + 1, int64_t{1}, slice + kRowStep - 1, slice + kRowStep,
                             2 * slice, slice, 2 * slice + 1, 7 * slice + 17, int64_t{0},
                             3 * slice - 1, 5 * slice + kRowStep, int64_t{2}}) {
    CAPTURE(rows);
    Program whole(plan);
    const std::vector<float> x = numbers(5 * rows);
    CHECK(answers(&batch, x, rows) == answers(&whole, x, rows));
  }
}

TEST_CASE("the memory of a large batch is that of a slice") {
  const Plan plan = compile(sums());
  Batch batch(plan);
  Program whole(plan);
  const int64_t rows = 200 * plan.slice_rows() + 100;
  const std::vector<float> x = numbers(5 * rows);
  CHECK(answers(&batch, x, rows) == answers(&whole, x, rows));
  CHECK(batch.bytes() < 1 << 18);
  CHECK(whole.bytes() > 20 * batch.bytes());
}

TEST_CASE("a graph is sliced only if its nodes work row by row") {
  const auto x = [] { return Graph().input("x", kFloat, {kN, 4}); };
  const auto list = [](const std::vector<int64_t>& values) {
    return std::pair(Dims{static_cast<int64_t>(values.size())}, values);
  };
  const auto with = [&](const std::string& op, const std::vector<int64_t>& second,
                        const Attributes& attributes, const Dims& dims) {
    const auto [size, values] = list(second);
    return x()
        .constant("c", size, values)
        .node(op, second.empty() ? onnx::Names{"x"} : onnx::Names{"x", "c"}, {"y"}, attributes)
        .output("y", kFloat, dims);
  };
  const Dims matrix = {kN, 4};
  SECTION("row by row") {
    const Graph graphs[] = {
        with("Reshape", {-1, 4}, {}, matrix),
        with("Reshape", {0, 2, 2}, {}, {kN, 2, 2}),
        with("ReduceSum", {1}, {}, {kN, 1}),
        with("CumSum", {1}, {}, matrix),
        with("Gather", {2, 0}, {{"axis", 1}}, {kN, 2}),
        with("Softmax", {}, {{"axis", -1}}, matrix),
        with("Flatten", {}, {{"axis", -1}}, matrix),
        with("Tile", {1, 2}, {}, {kN, 8}),
        // A constant row for each row of the batch.
        x().constant("c", {1, 2}, std::vector<float>{1, 2})
            .constant("two", {1}, std::vector<int64_t>{2})
            .node("Shape", {"x"}, {"rows"}, {{"start", 0}, {"end", 1}})
            .node("Concat", {"rows", "two"}, {"shape"}, {{"axis", 0}})
            .node("Expand", {"c", "shape"}, {"y"})
            .output("y", kFloat, {kN, 2}),
    };
    for (const Graph& graph : graphs) CHECK(compile(graph).slice_rows() > 0);
  }
  SECTION("not row by row") {
    const Graph graphs[] = {
        with("Reshape", {-1, 2}, {}, {kN, 2}),
        with("Reshape", {-1}, {}, {kN}),
        with("Reshape", {1, 4}, {}, {1, 4}),
        with("ReduceSum", {0}, {}, {1, 4}),
        with("ReduceSum", {}, {}, {1, 1}),
        with("CumSum", {0}, {}, matrix),
        with("CumSum", {-2}, {}, matrix),
        with("Gather", {0}, {{"axis", 0}}, {1, 4}),
        with("Softmax", {}, {{"axis", 0}}, matrix),
        with("Softmax", {}, {{"axis", -2}}, matrix),
        with("Flatten", {}, {{"axis", 0}}, {1, kN}),
        with("Tile", {2, 1}, {}, matrix),
        with("Transpose", {}, {}, {4, kN}),
        with("Squeeze", {}, {}, {kN, 4}),
        x().node("Shape", {"x"}, {"y"}).output("y", kInt64, {2}),
        x().node("Concat", {"x", "x"}, {"y"}, {{"axis", 0}}).output("y", kFloat, matrix),
        // The position of each row in the batch.
        x().constant("zero", {}, std::vector<int64_t>{0})
            .constant("one", {}, std::vector<int64_t>{1})
            .node("Shape", {"x"}, {"shape"}, {{"start", 0}, {"end", 1}})
            .node("Squeeze", {"shape"}, {"rows"})
            .node("Range", {"zero", "rows", "one"}, {"y"})
            .output("y", kInt64, {kN}),
        // The batch is the second axis of the result, because the constant has more axes.
        x().constant("c", {1, 1}, numbers(1))
            .node("Shape", {"x"}, {"rows"}, {{"start", 0}, {"end", 1}})
            .node("Expand", {"c", "rows"}, {"y"})
            .output("y", kFloat, {1, kN}),
        // A mean over the batch, which a later node gives to each row.
        x().constant("axis", {1}, std::vector<int64_t>{0})
            .node("ReduceSum", {"x", "axis"}, {"sums"})
            .node("Sub", {"x", "sums"}, {"y"})
            .output("y", kFloat, matrix),
        // The batch is the second axis of an operand.
        x().input("z", kFloat, {kN}).node("Add", {"x", "z"}, {"y"}).output("y", kFloat, {kN, kN}),
        // A constant for one number of rows only.
        x().constant("c", {3, 4}, numbers(12))
            .node("Add", {"x", "c"}, {"y"})
            .output("y", kFloat, {kN, 4}),
        // An input, and an output, without a batch.
        x().input("z", kFloat, {4}).node("Add", {"x", "z"}, {"y"}).output("y", kFloat, matrix),
        x().node("Neg", {"x"}, {"y"})
            .output("y", kFloat, matrix)
            .constant("c", {1}, numbers(1))
            .node("Identity", {"c"}, {"k"})
            .output("k", kFloat, {1}),
        Graph()
            .input("x", kFloat, {2000, 4})
            .node("Neg", {"x"}, {"y"})
            .output("y", kFloat, {2000, 4}),
        Graph()
            .constant("c", {1}, numbers(1))
            .node("Identity", {"c"}, {"y"})
            .output("y", kFloat, {1}),
    };
    for (const Graph& graph : graphs) CHECK(compile(graph).slice_rows() == 0);
  }
}

TEST_CASE("inputs of different numbers of rows run at once") {
  const Plan plan = compile(Graph()
                                .input("x", kFloat, {kN, 1})
                                .input("z", kFloat, {kN, 1})
                                .node("Add", {"x", "z"}, {"y"})
                                .output("y", kFloat, {kN, 1}));
  REQUIRE(plan.slice_rows() > 0);
  const Interrupt never(not_requested);
  const int64_t rows = 3 * plan.slice_rows();
  std::vector<float> x = numbers(rows), y(x.size());
  float one = 1000;
  Batch batch(plan);
  batch.prepare({Dims{rows, 1}, Dims{1, 1}}, never);
  batch.set_input(0, x.data());
  batch.set_input(1, &one);
  batch.set_output(0, y.data());
  batch.run(never);
  for (float& each : x) each += 1000;
  CHECK(y == x);
}

TEST_CASE("the first node that fails for any row of a batch gives the error") {
  const Plan plan = compile(Graph()
                                .input("b", kInt64, {kN})
                                .input("at", kInt64, {kN})
                                .constant("a", {1}, std::vector<int64_t>{12})
                                .constant("table", {3}, std::vector<int64_t>{5, 6, 7})
                                .node("Div", {"a", "b"}, {"quotients"})
                                .node("Gather", {"table", "at"}, {"found"})
                                .output("quotients", kInt64, {kN})
                                .output("found", kInt64, {kN}));
  const int64_t slice = plan.slice_rows();
  REQUIRE(slice > 0);
  const auto rows = static_cast<size_t>(3 * slice + 20);
  const std::vector<int64_t> good(rows, 1);
  std::vector<int64_t> zero_late = good, zero_first = good, out_early = good, out_last = good;
  zero_late[static_cast<size_t>(2 * slice + 5)] = 0;
  zero_first[0] = 0;
  out_early[10] = 3;
  out_last[rows - 1] = -4;
  const std::string divided = "divided by 0", outside = "outside of its axis";
  const auto has = [](const std::string& text, const std::string& words) {
    return text.find(words) != std::string::npos;
  };
  CHECK(error_of(plan, good, good).empty());
  CHECK(has(error_of(plan, zero_late, good), divided));
  CHECK(has(error_of(plan, good, out_early), outside));
  CHECK(has(error_of(plan, good, out_last), outside));
  // A later slice fails at an earlier node.
  CHECK(has(error_of(plan, zero_late, out_early), divided));
  CHECK(has(error_of(plan, zero_first, out_early), divided));
  CHECK(has(error_of(plan, zero_first, out_last), divided));
}

// The first slice of the run writes the request to stop: it lies in the memory of the output.
TEST_CASE("a request to stop ends a batch before the next slice") {
  const Plan plan =
      compile(Graph().input("x", kBool, {kN}).node("Not", {"x"}, {"y"}).output("y", kBool, {kN}));
  const int64_t slice = plan.slice_rows();
  REQUIRE(slice > 0);
  const auto rows = static_cast<size_t>(3 * slice);
  std::vector<unsigned char> x(rows, 0), y(rows, 7);
  static_assert(sizeof(std::atomic<bool>) == 1);
  auto* const request = new (y.data() + slice / 2) std::atomic<bool>(false);
  const Interrupt interrupt(*request);
  Batch batch(plan);
  batch.prepare({Dims{3 * slice}}, interrupt);
  batch.set_input(0, x.data());
  batch.set_output(0, y.data());
  CHECK_THROWS_AS(batch.run(interrupt), Interrupted);
  CHECK(y[0] == 1);
  CHECK(y[static_cast<size_t>(slice) - 1] == 1);
  CHECK(y[static_cast<size_t>(slice)] == 7);
  CHECK(y[rows - 1] == 7);
  // The next run is complete.
  y[static_cast<size_t>(slice / 2)] = 0;
  const Interrupt never(not_requested);
  batch.run(never);
  CHECK(y == std::vector<unsigned char>(rows, 1));
}
