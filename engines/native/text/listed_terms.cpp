// Replaces lists of terms by matrices; see listed_terms.h.
#include "listed_terms.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engines/native/operator.h"
#include "functions.h"

namespace sidecall::native {
namespace {

// The operator set whose operators are written here. Later ones have the same meaning.
constexpr int64_t kVersion = 20;

// The outputs of the node that lists the terms.
struct List {
  int32_t row, column, rows;
};

// A value that is the numbers of a list.
struct Listed {
  List list;
  bool has_counts;  // no function but kDamp has changed them, so none of them is 0
};

class Replacement {
 public:
  explicit Replacement(Graph* graph) : graph_(*graph) {}

  void run() {
    std::vector<Node> nodes = std::move(graph_.nodes);
    graph_.nodes.clear();
    for (Node& node : nodes) replace(std::move(node));
    for (const Node& node : graph_.nodes) {
      for (const int32_t input : node.inputs) {
        if (is_place(input))
          refuse(node,
                 "expected a function for lists as the reader of the rows or columns of a list of "
                 "terms");
      }
    }
    for (const int32_t output : graph_.output_values) {
      if (is_place(output) || listed_.count(output) != 0)
        throw Error(SIDECALL_UNSUPPORTED, "expected no output of the graph that lists terms");
    }
  }

 private:
  void replace(Node node) {
    const CountingFunction* const counting = find_counting_function(node);
    if (counting != nullptr && counting->lists) {
      replace_counting(std::move(node));
      return;
    }
    const std::optional<TermsFunction> function = find_terms_function(node);
    if (!function) {
      if (std::any_of(node.inputs.begin(), node.inputs.end(),
                      [&](int32_t input) { return listed_.count(input) != 0; }))
        follow(node);
      graph_.nodes.push_back(std::move(node));
      return;
    }
    switch (*function) {
      case TermsFunction::kDamp:
        return replace_damp(std::move(node));
      case TermsFunction::kScale:
        return replace_scale(node);
      case TermsFunction::kNormalize:
        return replace_normalize(node);
      case TermsFunction::kMultiply:
        return replace_multiply(node);
    }
  }

  void replace_counting(Node node) {
    check_size(node, 1, 4);
    const std::vector<int32_t>& out = node.outputs;
    const List list{out[0], out[1], out[3]};
    for (const int32_t place : {list.row, list.column, list.rows}) places_.push_back(place);
    const int32_t count = out[2];
    listed_.emplace(count, Listed{list, true});
    node.outputs.assign(1, count);
    graph_.nodes.push_back(std::move(node));
  }

  // An operator of ONNX that reads a list. Its output is a list with the same places.
  void follow(const Node& node) {
    const bool is_plain = node.domain.empty() && node.function.empty();
    if (!is_plain || (node.op != "Cast" && node.op != "Sign"))
      refuse(node, "expected an operator that can compute with a list of terms");
    check_size(node, 1, 1);
    listed_.emplace(node.outputs[0], listed_.at(node.inputs[0]));
  }

  void replace_damp(Node node) {
    check_size(node, 1, 1);
    const Listed& listed = list_of(node, 0);
    if (!listed.has_counts) refuse(node, "expected the logarithm of counts");
    listed_.emplace(node.outputs[0], listed);
    graph_.nodes.push_back(std::move(node));
  }

  void replace_scale(const Node& node) {
    check_size(node, 3, 1);
    Listed listed = list_of(node, 1);
    check_places(node, {0}, {listed.list.column});
    check_constant(node, 2, 1);
    listed.has_counts = false;
    listed_.emplace(node.outputs[0], listed);
    add(node, "Mul", {node.inputs[1], node.inputs[2]}, node.outputs[0]);
  }

  // value / where(sqrt(sum(value * value)) < least, one, sqrt(sum(value * value)))
  void replace_normalize(const Node& node) {
    check_size(node, 5, 1);
    Listed listed = list_of(node, 1);
    check_places(node, {0, 2}, {listed.list.row, listed.list.rows});
    const int32_t value = node.inputs[1], least = node.inputs[3], one = node.inputs[4];
    check_positive_scalar(node, 3);
    check_positive_scalar(node, 4);
    listed.has_counts = false;
    listed_.emplace(node.outputs[0], listed);
    auto axes = make_constant(SIDECALL_DTYPE_INT64, {1});
    *static_cast<int64_t*>(axes->place.data) = 1;
    const int32_t axis = new_value();
    graph_.values[static_cast<size_t>(axis)].constant = std::move(axes);
    const int32_t square = add(node, "Mul", {value, value});
    const int32_t sum = add(node, "ReduceSum", {square, axis});
    const int32_t root = add(node, "Sqrt", {sum});
    const int32_t is_small = add(node, "Less", {root, least});
    const int32_t length = add(node, "Where", {is_small, one, root});
    add(node, "Div", {value, length}, node.outputs[0]);
  }

  void replace_multiply(const Node& node) {
    check_size(node, 6, 1);
    const List list = list_of(node, 2).list;
    check_places(node, {0, 1, 3}, {list.row, list.column, list.rows});
    check_constant(node, 4, 2);
    check_constant(node, 5, 1);
    const auto& in = node.inputs;
    add(node, "Gemm", {in[2], in[4], in[5]}, node.outputs[0]);
  }

  // ---- Checks ----

  [[noreturn]] static void refuse(const Node& node, const std::string& problem) {
    refuse_node(node, SIDECALL_UNSUPPORTED, problem);
  }

  static void check_size(const Node& node, size_t inputs, size_t outputs) {
    const auto is_omitted = [](int32_t value) { return value < 0; };
    if (node.inputs.size() != inputs || node.outputs.size() != outputs ||
        std::any_of(node.inputs.begin(), node.inputs.end(), is_omitted) ||
        std::any_of(node.outputs.begin(), node.outputs.end(), is_omitted))
      refuse(node, "expected " + std::to_string(inputs) + " inputs and " + std::to_string(outputs) +
                       " outputs, none of them omitted");
  }

  const Listed& list_of(const Node& node, size_t input) const {
    const auto found = listed_.find(node.inputs[input]);
    if (found == listed_.end())
      refuse(node, "expected the numbers of a list of terms in input " + std::to_string(input));
    return found->second;
  }

  static void check_places(const Node& node, const std::vector<size_t>& inputs,
                           const std::vector<int32_t>& places) {
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (node.inputs[inputs[i]] != places[i])
        refuse(node,
               "expected the rows and columns of the same list as the numbers, in this order");
    }
  }

  // Zero times an infinity is not zero, but a list leaves zeros out.
  const Constant& check_constant(const Node& node, size_t input, size_t rank) const {
    const auto& constant = graph_.values[static_cast<size_t>(node.inputs[input])].constant;
    if (!constant || constant->dims.size() != rank ||
        (constant->dtype != SIDECALL_DTYPE_FLOAT32 && constant->dtype != SIDECALL_DTYPE_FLOAT64) ||
        !with_type<float, double>(constant->dtype, [&](auto zero) {
          const auto* elements = static_cast<const decltype(zero)*>(constant->place.data);
          return std::all_of(elements, elements + constant->count,
                             [](auto element) { return std::isfinite(element); });
        }))
      refuse(node, "expected constant finite numbers of rank " + std::to_string(rank) +
                       " in input " + std::to_string(input));
    return *constant;
  }

  // Not 0, because 0 / 0 is NaN, but a list leaves zeros out.
  void check_positive_scalar(const Node& node, size_t input) const {
    const Constant& constant = check_constant(node, input, 0);
    const bool is_positive = with_type<float, double>(constant.dtype, [&](auto zero) {
      return *static_cast<const decltype(zero)*>(constant.place.data) > zero;
    });
    if (!is_positive) refuse(node, "expected a positive number in input " + std::to_string(input));
  }

  bool is_place(int32_t value) const {
    return std::find(places_.begin(), places_.end(), value) != places_.end();
  }

  // ---- New nodes ----

  int32_t new_value() {
    graph_.values.emplace_back();
    return static_cast<int32_t>(graph_.values.size()) - 1;
  }

  // Adds an operator of ONNX with the name of the node that it replaces.
  void add(const Node& replaced, std::string_view op, std::vector<int32_t> inputs, int32_t output) {
    Node& node = graph_.nodes.emplace_back();
    node.op = op;
    node.name = replaced.name;
    node.version = kVersion;
    node.inputs = std::move(inputs);
    node.outputs.assign(1, output);
  }
  int32_t add(const Node& replaced, std::string_view op, std::vector<int32_t> inputs) {
    const int32_t output = new_value();
    add(replaced, op, std::move(inputs), output);
    return output;
  }

  Graph& graph_;
  std::unordered_map<int32_t, Listed> listed_;
  std::vector<int32_t> places_;  // the rows, columns and numbers of rows of all lists
};

}  // namespace

void replace_listed_terms(Graph* graph) {
  const bool has_lists =
      std::any_of(graph->nodes.begin(), graph->nodes.end(), [](const Node& node) {
        const CountingFunction* const counting = find_counting_function(node);
        return (counting != nullptr && counting->lists) || find_terms_function(node).has_value();
      });
  if (has_lists) Replacement(graph).run();
}

}  // namespace sidecall::native
