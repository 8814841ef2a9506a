// Looks operators up by name, and implements the checks that they share; see operator.h.
#include "operator.h"

#include <string>
#include <unordered_map>

#include "core/error.h"
#include "core/text.h"
#include "operators/tables.h"

namespace sidecall::native {

const OperatorEntry* find_operator(const Node& node) {
  if (!node.function.empty()) {
    for (const auto find : {find_neighbor_function, find_text_function}) {
      if (const OperatorEntry* const entry = find(node)) return entry;
    }
    refuse_node(node, SIDECALL_UNSUPPORTED, "this engine does not know the model's function");
  }
  static const auto* by_name = [] {
    auto* map = new std::unordered_multimap<std::string_view, const OperatorEntry*>;
    for (const auto* table :
         {&elementwise_operators(), &function_operators(), &feature_operators(),
          &gather_operators(), &layout_operators(), &lookup_operators(), &matrix_operators(),
          &rearrange_operators(), &reduction_operators(), &axis_operators(), &distance_operators(),
          &svm_operators(), &tree_operators()}) {
      for (const OperatorEntry& entry : *table) map->emplace(entry.op, &entry);
    }
    return map;
  }();
  const auto [first, last] = by_name->equal_range(node.op);
  for (auto at = first; at != last; ++at) {
    const OperatorEntry& entry = *at->second;
    if (entry.domain == node.domain && entry.first_version <= node.version &&
        node.version <= entry.last_version)
      return &entry;
  }
  return nullptr;
}

void refuse_node(const Node& node, int32_t status, const std::string& problem) {
  throw Error(status, node.describe() + ": " + problem);
}

void refuse_type(const Node& node, const Tensor& tensor) {
  refuse_node(node, SIDECALL_UNSUPPORTED,
              std::string("this engine does not compute it for ") + dtype_name(tensor.dtype));
}

std::unique_ptr<Step> or_refuse(std::unique_ptr<Step> step, const Node& node,
                                const Tensor& tensor) {
  if (!step) refuse_type(node, tensor);
  return step;
}

void require_same_types(const Node& node, const Tensor& a, const Tensor& b) {
  if (a.dtype != b.dtype)
    refuse_node(node, SIDECALL_FILE_INVALID,
                std::string("expected inputs of one type, got ") + dtype_name(a.dtype) + " and " +
                    dtype_name(b.dtype));
}

const Tensor& required(const Node& node, Inputs in, size_t position) {
  const Tensor* tensor = optional(in, position);
  if (tensor == nullptr)
    refuse_node(node, SIDECALL_FILE_INVALID,
                "expected an input at position " + std::to_string(position) + ", got none");
  return *tensor;
}

std::vector<int64_t> known_integers(const Node& node, const Tensor& tensor) {
  if (!tensor.is_known)
    refuse_node(
        node, SIDECALL_UNSUPPORTED,
        "expected shapes, axes and indices that are known before the run, got a tensor that "
        "depends on the inputs' values");
  const auto count = static_cast<size_t>(tensor.count);
  if (tensor.dtype == SIDECALL_DTYPE_INT64) {
    const auto* values = tensor.as<int64_t>();
    return {values, values + count};
  }
  if (tensor.dtype == SIDECALL_DTYPE_INT32) {
    const auto* values = tensor.as<int32_t>();
    return {values, values + count};
  }
  refuse_node(node, SIDECALL_FILE_INVALID,
              std::string("expected integers, got ") + dtype_name(tensor.dtype));
}

size_t normal_axis(const Node& node, int64_t axis, int64_t rank) {
  if (axis < -rank || axis >= rank)
    refuse_node(node, SIDECALL_FILE_INVALID,
                "expected an axis that the tensor has, got axis " + std::to_string(axis) +
                    " of a tensor of rank " + std::to_string(rank));
  return static_cast<size_t>(axis < 0 ? axis + rank : axis);
}

}  // namespace sidecall::native
