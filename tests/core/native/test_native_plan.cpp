// The native engine: constants whose data stand beside the model, loops that end early, and
// products with other vector instructions. Through the C ABI, a test would need a model of more
// than 2 GiB, a request at an exact moment, and other processors.
#include <array>
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engines/native/operators/broadcast.h"
#include "engines/native/plan.h"
#include "engines/native/trees/kernels/vectors.h"
#include "tests/core/artifact/onnx_builder.h"

using onnx::Attribute;
using onnx::bytes;
using onnx::Graph;
using onnx::number;
using sidecall::Dims;
using sidecall::EngineInput;
using sidecall::native::Broadcast;
using sidecall::native::for_each_part;
using sidecall::native::Interrupt;
using sidecall::native::Interrupted;
using sidecall::native::kElementsPerPoll;
using sidecall::native::Plan;
using sidecall::native::Program;
using sidecall::native::Tensor;
using sidecall::native::Vectors;

namespace {

using namespace std::string_literals;

constexpr int32_t kFloat = SIDECALL_DTYPE_FLOAT32;

// The elements of a constant of the plan, all of which are float.
std::vector<float> constant(const Plan& plan, const std::string& name) {
  for (const auto& value : plan.graph().values) {
    if (value.name != name || !value.constant) continue;
    const auto* elements = static_cast<const float*>(value.constant->place.data);
    return {elements, elements + value.constant->count};
  }
  return {};
}

// The bytes of a product of 5 rows with a constant matrix, in float32 and float64, and of the same
// products with a bias.
std::string product(const Vectors vectors, int64_t terms, int64_t columns) {
  const auto numbers = [](int64_t count, int64_t step) {
    std::vector<float> result;
    for (int64_t i = 0; i < count; ++i)
      result.push_back(static_cast<float>((i * step) % 1013) / 97 - 5);
    return result;
  };
  const std::vector<float> rows = numbers(5 * terms, 7919);
  sidecall::native::force_vectors(vectors);
  EngineInput input;
  input.written = Graph()
                      .input("x", kFloat, {5, terms})
                      .constant("w", {terms, columns}, numbers(terms * columns, 6151))
                      .constant("b", {columns}, numbers(columns, 3571))
                      .node("Cast", {"x"}, {"x64"}, {{"to", SIDECALL_DTYPE_FLOAT64}})
                      .node("Cast", {"w"}, {"w64"}, {{"to", SIDECALL_DTYPE_FLOAT64}})
                      .node("MatMul", {"x", "w"}, {"y"})
                      .node("MatMul", {"x64", "w64"}, {"y64"})
                      .node("Gemm", {"x", "w", "b"}, {"z"})
                      .output("y", kFloat, {5, columns})
                      .output("y64", SIDECALL_DTYPE_FLOAT64, {5, columns})
                      .output("z", kFloat, {5, columns})
                      .model();
  const Plan plan(std::move(input), "test: ");
  sidecall::native::force_vectors(std::nullopt);
  const std::atomic<bool> request{false};
  const Interrupt never(request);
  Program program(plan);
  program.prepare({Dims{5, terms}}, never);
  program.set_input(0, const_cast<float*>(rows.data()));
  std::vector<std::vector<double>> answers(3,
                                           std::vector<double>(static_cast<size_t>(5 * columns)));
  for (size_t i = 0; i < answers.size(); ++i) program.set_output(i, answers[i].data());
  program.run(never);
  std::string all;
  for (const std::vector<double>& answer : answers) all += onnx::raw(answer);
  return all;
}

}  // namespace

TEST_CASE("a vocabulary finds each of its strings, and no other") {
  sidecall::native::Vocabulary vocabulary;
  CHECK(vocabulary.find("").id == sidecall::native::kNotInVocabulary);
  std::vector<std::string> texts = {
      "", "a", std::string("a\0", 2), std::string(300, 'x'), std::string(301, 'x'), "\xef\xb7\x90"};
  for (int i = 0; i < 1000; ++i) texts.push_back("text " + std::to_string(i));
  std::vector<sidecall::native::Text> added;
  for (const std::string& text : texts) added.push_back(vocabulary.add(text));
  REQUIRE(vocabulary.size() == texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    CHECK(added[i].id == static_cast<int32_t>(i));
    for (const sidecall::native::Text& found :
         {vocabulary.find(texts[i]), vocabulary.add(std::string(texts[i]))}) {
      CHECK(found.id == added[i].id);
      CHECK(found.data == added[i].data);  // of the copy, which does not move
      CHECK(found.view() == texts[i]);
    }
  }
  CHECK(vocabulary.size() == texts.size());
  for (const std::string& text : {"text"s, "text 1000"s, "A"s, "a\0b"s, std::string(299, 'x')}) {
    const sidecall::native::Text found = vocabulary.find(text);
    CHECK(found.id == sidecall::native::kNotInVocabulary);
    CHECK(found.view() == text);
  }
}

TEST_CASE("data beside the model belong to the initializer, not to a tensor of a node") {
  const std::string data = onnx::raw(std::vector<float>{5, 6});
  const std::string own = onnx::tensor("w", kFloat, {2}, onnx::raw(std::vector<float>{1, 2}));
  const Graph graph = Graph()
                          .input("x", kFloat, {2})
                          .node("Constant", {}, {"k"}, {Attribute::of_tensor("value", own)})
                          .node("Add", {"x", "w"}, {"s"})
                          .node("Add", {"s", "k"}, {"y"})
                          .output("y", kFloat, {2});
  const std::string initializer = number(1, 2) + number(2, kFloat) + bytes(8, "w");
  EngineInput input;
  input.written =
      number(1, 8) + bytes(7, graph.message() + bytes(5, initializer)) + bytes(8, number(2, 17));
  input.initializers.push_back({"w", kFloat, {2}, data});
  const Plan plan(std::move(input), "test: ");
  CHECK(constant(plan, "w") == std::vector<float>{5, 6});
  CHECK(constant(plan, "k") == std::vector<float>{1, 2});
}

// The request comes while the first part is computed.
TEST_CASE("a loop over many elements ends within one part of a request to stop") {
  std::atomic<bool> request{false};
  const Interrupt interrupt(request);
  int64_t done = 0;
  const auto body = [&](int64_t begin, int64_t end) {
    CHECK(begin == done);
    done = end;
    request = true;
  };
  CHECK_THROWS_AS(for_each_part(100'000, interrupt, body), Interrupted);
  CHECK(done == kElementsPerPoll);
}

TEST_CASE("a loop over several operands ends within one part of a request to stop") {
  struct Case {
    Dims left, right;
  };
  const auto tensor = [](Dims dims) {
    Tensor result;
    result.shape(kFloat, std::move(dims));
    return result;
  };
  for (const Case& each : {Case{{100'000}, {100'000}}, Case{{100'000}, {}}, Case{{50'000, 3}, {3}},
                           Case{{3, 50'000}, {3, 1}}, Case{{1, 50'000}, {50'000, 1}}}) {
    std::atomic<bool> request{false};
    const Tensor left = tensor(each.left), right = tensor(each.right);
    const Broadcast<2> loops({&left, &right});
    int64_t done = 0;
    const auto body = [&](int64_t count, const std::array<int64_t, 2>& offsets, int64_t output) {
      CHECK(output == done);
      CHECK(offsets[0] < left.count);
      CHECK(offsets[1] < right.count);
      done += count;
      request = true;
    };
    CHECK_THROWS_AS(loops.for_each_part(Interrupt(request), body), Interrupted);
    CHECK(done > 0);
    CHECK(done <= kElementsPerPoll);
  }
}

TEST_CASE("a loop over several operands reaches each element once") {
  Tensor left, right;
  left.shape(kFloat, {7, 20'001});
  right.shape(kFloat, {7, 1});
  const Broadcast<2> loops({&left, &right});
  const std::atomic<bool> never{false};
  int64_t done = 0;
  loops.for_each_part(Interrupt(never),
                      [&](int64_t count, const std::array<int64_t, 2>& offsets, int64_t output) {
                        CHECK(output == done);
                        CHECK(offsets[0] == done);
                        CHECK(offsets[1] == done / 20'001);
                        done += count;
                      });
  CHECK(done == left.count);
}

TEST_CASE("products have the same bits with all vector instructions") {
  for (const Vectors vectors : {Vectors::kNeon, Vectors::kAvx2, Vectors::kAvx512}) {
    if (!sidecall::native::has_vectors(vectors)) continue;
    for (const int64_t terms : {1, 2, 7, 8, 9, 31, 64}) {
      for (const int64_t columns : {1, 2, 3, 4, 7, 8, 9, 16, 21}) {
        CAPTURE(terms, columns);
        CHECK(product(vectors, terms, columns) == product(Vectors::kNone, terms, columns));
      }
    }
  }
}
