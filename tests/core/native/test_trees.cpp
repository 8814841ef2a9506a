// Tree ensembles on the native engine, with each kind of vector instructions that this processor
// has: the bits of the answers equal those of ONNX Runtime and of an evaluation node by node.
#include <sidecall/sidecall.hpp>

#include <catch2/catch_test_macros.hpp>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "drawn_trees.h"
#include "engines/native/trees/kernels/vectors.h"

using sidecall::native::Vectors;

namespace {

constexpr int64_t kBatches[] = {1, 3, 8, 17, 200};

std::vector<Vectors> vectors_of_this_processor() {
  std::vector<Vectors> all;
  for (const Vectors vectors : {Vectors::kNone, Vectors::kNeon, Vectors::kAvx2, Vectors::kAvx512}) {
    if (sidecall::native::has_vectors(vectors)) all.push_back(vectors);
  }
  return all;
}

// Until its end, models that are opened use these vector instructions.
struct Forced {
  explicit Forced(Vectors vectors) { sidecall::native::force_vectors(vectors); }
  ~Forced() { sidecall::native::force_vectors(std::nullopt); }
  Forced(const Forced&) = delete;
  Forced& operator=(const Forced&) = delete;
};

sidecall::Model open(const std::string& model, int32_t engine) {
  ::unsetenv("SIDECALL_ENGINE");  // it would take precedence
  sidecall::Options options;
  options.engine = engine;
  return sidecall::Model::from_bytes(model.data(), model.size(), options);
}

template <typename Number>
std::vector<Number> run(const sidecall::Model& model, int64_t rows, const std::vector<Number>& x) {
  sidecall::Call call(model, rows);
  std::memcpy(call.input(0).get().data, x.data(), x.size() * sizeof(Number));
  call.run();
  const sidecall_view y = call.output(0).get();
  std::vector<Number> answer(y.data_bytes / sizeof(Number));
  std::memcpy(answer.data(), y.data, y.data_bytes);
  return answer;
}

template <typename Number>
bool have_equal_bits(const std::vector<Number>& a, const std::vector<Number>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(Number)) == 0;
}

drawn::Plan plan_of(int trees, int leaves, int features, int targets = 1) {
  drawn::Plan plan;
  plan.trees = trees;
  plan.leaves = leaves;
  plan.features = features;
  plan.targets = targets;
  return plan;
}

// Trees of every size at which the engine changes its method, and rows of every width.
std::vector<drawn::Plan> plans() {
  const std::vector<drawn::Plan> all = {
      plan_of(1, 2, 1),       plan_of(100, 8, 5),    plan_of(101, 8, 16),   plan_of(40, 32, 17),
      plan_of(40, 32, 33),    plan_of(20, 33, 8),    plan_of(33, 64, 30),   plan_of(17, 64, 40),
      plan_of(50, 65, 12),    plan_of(7, 300, 20),   plan_of(400, 31, 20),  plan_of(2, 3000, 1),
      plan_of(30, 20, 500),   plan_of(60, 100, 500), plan_of(25, 16, 6, 3), plan_of(25, 50, 6, 2),
      plan_of(10, 200, 6, 4), plan_of(1, 40000, 3),  plan_of(33, 20, 9),
  };
  std::vector<drawn::Plan> with_variants;
  for (drawn::Plan plan : all) {
    with_variants.push_back(plan);
    plan.has_rules = true;
    plan.is_narrow = true;
    plan.repeats = plan.targets > 1;
    plan.is_deep = plan.leaves < 300;
    with_variants.push_back(plan);
    plan.has_modes = true;
    plan.is_narrow = false;
    with_variants.push_back(plan);
  }
  return with_variants;
}

// What the answers are compared with.
enum class Reference { kNodeByNode, kOnnxRuntime };

template <typename Number>
void compare_with(Reference reference) {
  uint64_t seed = reference == Reference::kNodeByNode ? 0 : 100;
  for (const drawn::Plan& plan : plans()) {
    drawn::Ensemble<Number> ensemble(plan, ++seed);
    const std::string model = ensemble.model();
    std::optional<sidecall::Model> other;
    if (reference == Reference::kOnnxRuntime) other = open(model, SIDECALL_ENGINE_ONNXRUNTIME);
    std::vector<std::pair<Vectors, sidecall::Model>> natives;
    for (const Vectors vectors : vectors_of_this_processor()) {
      const Forced forced(vectors);
      natives.emplace_back(vectors, open(model, SIDECALL_ENGINE_NATIVE));
    }
    for (const int64_t rows : kBatches) {
      for (const int nans : {0, 20}) {
        const std::vector<Number> x = ensemble.rows(rows, nans);
        const std::vector<Number> expected = other ? run(*other, rows, x) : ensemble.evaluate(x);
        for (const auto& [vectors, native] : natives) {
          CAPTURE(seed, static_cast<int>(vectors), rows, nans);
          CHECK(have_equal_bits(run(native, rows, x), expected));
        }
      }
    }
  }
}

}  // namespace

TEST_CASE("trees of float32 give the bits of an evaluation node by node") {
  compare_with<float>(Reference::kNodeByNode);
}

TEST_CASE("trees of float64 give the bits of an evaluation node by node") {
  compare_with<double>(Reference::kNodeByNode);
}

TEST_CASE("trees of float32 give the bits of ONNX Runtime", "[onnxruntime]") {
  compare_with<float>(Reference::kOnnxRuntime);
}

TEST_CASE("trees of float64 give the bits of ONNX Runtime", "[onnxruntime]") {
  compare_with<double>(Reference::kOnnxRuntime);
}

TEST_CASE("without being forced, trees use the widest vector instructions of this processor") {
  CHECK(sidecall::native::chosen_vectors() == vectors_of_this_processor().back());
}
