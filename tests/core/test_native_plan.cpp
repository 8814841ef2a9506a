// The native engine: constants whose data stand beside the model, and loops that end early. Through
// the C ABI, a test would need a model of more than 2 GiB, and a request at an exact moment.
#include <array>
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <string>
#include <utility>
#include <vector>

#include "engines/native/operators/broadcast.h"
#include "engines/native/plan.h"
#include "onnx_builder.h"

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
using sidecall::native::Tensor;

namespace {

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

}  // namespace

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
