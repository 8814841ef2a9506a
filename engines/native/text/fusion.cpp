// Fuses the nodes behind the counts of terms; see fusion.h.
#include "fusion.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <unordered_map>
#include <utility>

#include "engines/native/operator.h"
#include "functions.h"

namespace sidecall::native {
namespace {

// One step, and the nodes that it replaces.
struct Match {
  FusedStep step{};
  std::array<int32_t, 2> constants = {-1, -1};
  std::vector<size_t> nodes;
  int32_t result = -1;
};

class Fusion {
 public:
  explicit Fusion(Graph* graph) : graph_(*graph) {
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      for (const int32_t value : graph_.nodes[i].inputs) {
        auto& readers = readers_[value];
        if (readers.empty() || readers.back() != i) readers.push_back(i);
      }
    }
  }

  void run() {
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      const Node& node = graph_.nodes[i];
      if (!is_replaced_[i] && !node.function.empty() && node.outputs.size() == 1 &&
          node.outputs[0] >= 0 && node.inputs.size() == 1)
        extend(i);
    }
    std::vector<Node> kept;
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      if (!is_replaced_[i]) kept.push_back(std::move(graph_.nodes[i]));
    }
    graph_.nodes = std::move(kept);
  }

 private:
  void extend(size_t counter) {
    std::vector<Match> matches;
    int32_t current = graph_.nodes[counter].outputs[0];
    dtype_ = SIDECALL_DTYPE_FLOAT32;
    bool is_over = false;
    while (!is_over && !is_output(current)) {
      std::optional<Match> match = next(current);
      if (!match) break;
      current = match->result;
      is_over = match->step == FusedStep::kProduct || match->step == FusedStep::kProductTransposed;
      matches.push_back(*std::move(match));
    }
    if (matches.empty()) return;
    Node fused = std::move(graph_.nodes[counter]);
    is_replaced_[counter] = true;
    for (const Match& match : matches) {
      fused.fused.push_back(match.step);
      fused.inputs.insert(fused.inputs.end(), match.constants.begin(), match.constants.end());
      for (const size_t node : match.nodes) is_replaced_[node] = true;
    }
    // The fused node takes the place of the last node, which comes after the nodes that define its
    // inputs.
    fused.outputs[0] = current;
    const size_t last = matches.back().nodes.back();
    is_replaced_[last] = false;
    graph_.nodes[last] = std::move(fused);
  }

  bool is_output(int32_t value) const {
    const auto& outputs = graph_.output_values;
    return std::find(outputs.begin(), outputs.end(), value) != outputs.end();
  }

  std::optional<Match> next(int32_t x) {
    const auto found = readers_.find(x);
    if (found == readers_.end()) return std::nullopt;
    const std::vector<size_t>& readers = found->second;
    if (readers.size() == 2) return norm(x, readers[0], readers[1]);
    if (readers.size() != 1) return std::nullopt;
    const Node& node = graph_.nodes[readers[0]];
    Match match;
    match.nodes = {readers[0]};
    match.result = node.outputs.empty() ? -1 : node.outputs[0];
    if (find_terms_function(node) == TermsFunction::kDamp) {
      match.step = FusedStep::kDamp;
      return match;
    }
    if (!is_plain(node) || node.inputs.empty()) return std::nullopt;
    if (node.op == "Cast" && node.inputs.size() == 1) {
      const int64_t to = node.integer("to", 0);
      if (to != SIDECALL_DTYPE_FLOAT32 && to != SIDECALL_DTYPE_FLOAT64) return std::nullopt;
      dtype_ = static_cast<int32_t>(to);
      match.step = to == SIDECALL_DTYPE_FLOAT32 ? FusedStep::kToFloat32 : FusedStep::kToFloat64;
      return match;
    }
    if (node.op == "Sign" && node.inputs.size() == 1) {
      match.step = FusedStep::kSign;
      return match;
    }
    if (node.op == "Mul" && node.inputs.size() == 2) {
      const int32_t weights = node.inputs[0] == x ? node.inputs[1] : node.inputs[0];
      const Constant* constant = finite_constant(weights);
      if (constant == nullptr || constant->dims.empty() || constant->dims.size() > 2 ||
          (constant->dims.size() == 2 && constant->dims[0] != 1))
        return std::nullopt;
      match.step = FusedStep::kMultiply;
      match.constants[0] = weights;
      return match;
    }
    if (node.op == "MatMul" || node.op == "Gemm") return product(x, node, std::move(match));
    return std::nullopt;
  }

  std::optional<Match> product(int32_t x, const Node& node, Match match) const {
    const size_t num_inputs = node.inputs.size();
    if (num_inputs < 2 || node.inputs[0] != x) return std::nullopt;
    const Constant* matrix = finite_constant(node.inputs[1]);
    if (matrix == nullptr || matrix->dims.size() != 2) return std::nullopt;
    match.step = FusedStep::kProduct;
    match.constants[0] = node.inputs[1];
    if (node.op == "MatMul") return num_inputs == 2 ? std::optional(match) : std::nullopt;
    if (num_inputs > 3 || node.real("alpha", 1) != 1 || node.real("beta", 1) != 1 ||
        node.integer("transA", 0) != 0)
      return std::nullopt;
    const bool is_transposed = node.integer("transB", 0) != 0;
    if (is_transposed) match.step = FusedStep::kProductTransposed;
    if (num_inputs == 2 || node.inputs[2] < 0) return match;
    const Constant* bias = finite_constant(node.inputs[2]);
    if (bias == nullptr || bias->count != matrix->dims[is_transposed ? 0 : 1] ||
        bias->dims.empty() || bias->dims.back() != bias->count)
      return std::nullopt;
    match.constants[1] = node.inputs[2];
    return match;
  }

  // x / where(sqrt(sum(x * x)) < least, one, sqrt(sum(x * x))), the norm that converters write.
  std::optional<Match> norm(int32_t x, size_t first, size_t second) const {
    const auto is = [&](size_t index, std::string_view op, const std::vector<int32_t>& inputs) {
      const Node& node = graph_.nodes[index];
      return is_plain(node) && node.op == op && node.inputs == inputs;
    };
    const auto result_of = [&](size_t index) { return graph_.nodes[index].outputs[0]; };
    if (!is(first, "Mul", {x, x})) std::swap(first, second);
    if (!is(first, "Mul", {x, x})) return std::nullopt;
    const std::optional<size_t> sum = only_reader(result_of(first));
    if (!sum || !is_row_sum(*sum, result_of(first))) return std::nullopt;
    const std::optional<size_t> root = only_reader(result_of(*sum));
    if (!root || !is(*root, "Sqrt", {result_of(*sum)}) || is_output(result_of(*root)))
      return std::nullopt;
    const int32_t length = result_of(*root);
    const auto found = readers_.find(length);
    if (found == readers_.end() || found->second.size() != 2) return std::nullopt;
    const size_t less = found->second[0], where = found->second[1];
    const Node& comparison = graph_.nodes[less];
    const Node& choice = graph_.nodes[where];
    if (comparison.inputs.size() != 2 || choice.inputs.size() != 3) return std::nullopt;
    const int32_t least = comparison.inputs[1], one = choice.inputs[1];
    if (!is(less, "Less", {length, least}) ||
        only_reader(result_of(less)) != std::optional(where) ||
        !is(where, "Where", {result_of(less), one, length}) || !is_positive_scalar(least) ||
        !is_positive_scalar(one) || only_reader(result_of(where)) != std::optional(second) ||
        !is(second, "Div", {x, result_of(where)}))
      return std::nullopt;
    Match match;
    match.step = FusedStep::kNormalize;
    match.constants = {least, one};
    match.nodes = {first, *sum, *root, less, where, second};
    match.result = result_of(second);
    return match;
  }

  bool is_row_sum(size_t index, int32_t x) const {
    const Node& node = graph_.nodes[index];
    if (!is_plain(node) || node.op != "ReduceSum" || node.inputs.size() != 2 ||
        node.inputs[0] != x || node.integer("keepdims", 1) != 1)
      return false;
    const Constant* axes = constant_of(node.inputs[1]);
    return axes != nullptr && axes->dtype == SIDECALL_DTYPE_INT64 && axes->count == 1 &&
           *static_cast<const int64_t*>(axes->place.data) == 1;
  }

  // An operator of ONNX itself with one output, in a version with the meaning that is matched here.
  static bool is_plain(const Node& node) {
    constexpr int64_t kFirst = 13;
    return node.domain.empty() && node.function.empty() && node.version >= kFirst &&
           node.outputs.size() == 1 && node.outputs[0] >= 0;
  }

  std::optional<size_t> only_reader(int32_t value) const {
    const auto found = readers_.find(value);
    if (found == readers_.end() || found->second.size() != 1 || is_output(value))
      return std::nullopt;
    return found->second[0];
  }

  const Constant* constant_of(int32_t value) const {
    return value < 0 ? nullptr : graph_.values[static_cast<size_t>(value)].constant.get();
  }

  // Zero times an infinity is not zero, so only finite constants are matched.
  const Constant* finite_constant(int32_t value) const {
    const Constant* constant = constant_of(value);
    if (constant == nullptr || constant->dtype != dtype_) return nullptr;
    const bool is_finite = with_type<float, double>(dtype_, [&](auto zero) {
      const auto* elements = static_cast<const decltype(zero)*>(constant->place.data);
      return std::all_of(elements, elements + constant->count,
                         [](auto element) { return std::isfinite(element); });
    });
    return is_finite ? constant : nullptr;
  }

  // Not 0, because 0 / 0 is NaN, and the fused step leaves zeros as they are.
  bool is_positive_scalar(int32_t value) const {
    const Constant* constant = finite_constant(value);
    if (constant == nullptr || constant->count != 1 || constant->dims.size() > 2) return false;
    return with_type<float, double>(dtype_, [&](auto zero) {
      return *static_cast<const decltype(zero)*>(constant->place.data) > zero;
    });
  }

  Graph& graph_;
  std::unordered_map<int32_t, std::vector<size_t>> readers_;
  std::vector<bool> is_replaced_ = std::vector<bool>(graph_.nodes.size());
  int32_t dtype_ = 0;  // of the current value
};

}  // namespace

void fuse_term_counts(Graph* graph) {
  const bool has_functions = std::any_of(graph->nodes.begin(), graph->nodes.end(),
                                         [](const Node& node) { return !node.function.empty(); });
  if (has_functions) Fusion(graph).run();
}

}  // namespace sidecall::native
