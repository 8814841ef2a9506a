// Draws random tree ensembles, writes them as ONNX models, and evaluates them node by node. Used by
// the tests of the native engine's trees.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "tests/core/artifact/onnx_builder.h"

namespace drawn {

enum Mode : uint8_t { kLeq, kLt, kGte, kGt };

// The numbers of nodes and leaves run through all trees, as in the attributes of TreeEnsemble.
template <typename Number>
struct Node {
  int64_t feature;
  Number threshold;
  Mode mode;
  bool nan_is_yes;
  int64_t yes, no;
  bool yes_is_leaf, no_is_leaf;
};

// What is drawn.
struct Plan {
  int trees = 1;
  int leaves = 8;  // of a tree, at most
  int features = 5;
  int targets = 1;
  bool is_deep = false;    // each split is below the one before
  bool has_rules = false;  // some splits send NaN to `yes`
  bool has_modes = false;  // all comparisons occur
  bool is_narrow = false;  // every threshold is the last double that rounds to some float
  bool repeats = false;    // each tree occurs once for each target
};

template <typename Number>
class Ensemble {
 public:
  Ensemble(const Plan& plan, uint64_t seed) : plan_(plan), random_(seed) {
    for (int tree = 0; tree < plan.trees; ++tree) {
      const size_t first_node = nodes_.size();
      const size_t first_leaf = targets_.size();
      grow(tree % 5 == 0 ? plan.leaves : 2 + below(plan.leaves - 1));
      const size_t num_nodes = nodes_.size() - first_node;
      const size_t num_leaves = targets_.size() - first_leaf;
      for (int target = 1; plan.repeats && target < plan.targets; ++target)
        repeat(num_nodes, num_leaves, target);
    }
  }

  // A model with the input x [N, features] and the output y [N, targets].
  std::string model() const {
    std::vector<int64_t> features, yes, no, yes_is_leaf, no_is_leaf, rules;
    std::vector<Number> thresholds;
    std::vector<uint8_t> modes;
    for (const Node<Number>& node : nodes_) {
      features.push_back(node.feature);
      thresholds.push_back(node.threshold);
      modes.push_back(node.mode);
      yes.push_back(node.yes);
      no.push_back(node.no);
      yes_is_leaf.push_back(node.yes_is_leaf ? 1 : 0);
      no_is_leaf.push_back(node.no_is_leaf ? 1 : 0);
      rules.push_back(node.nan_is_yes ? 1 : 0);
    }
    const auto tensor = [](const std::string& name, int32_t dtype, const auto& values) {
      const auto size = static_cast<int64_t>(values.size());
      return onnx::Attribute::of_tensor(name, onnx::tensor("", dtype, {size}, onnx::raw(values)));
    };
    const onnx::Attributes attributes = {{"n_targets", plan_.targets},
                                         {"nodes_featureids", features},
                                         tensor("nodes_splits", kType, thresholds),
                                         tensor("nodes_modes", SIDECALL_DTYPE_UINT8, modes),
                                         {"nodes_truenodeids", yes},
                                         {"nodes_trueleafs", yes_is_leaf},
                                         {"nodes_falsenodeids", no},
                                         {"nodes_falseleafs", no_is_leaf},
                                         {"nodes_missing_value_tracks_true", rules},
                                         {"tree_roots", roots_},
                                         {"leaf_targetids", targets_},
                                         tensor("leaf_weights", kType, weights_)};
    onnx::Graph graph;
    graph.input("x", kType, {-1, plan_.features});
    graph.output("y", kType, {-1, plan_.targets});
    graph.node("TreeEnsemble", {"x"}, {"y"}, attributes, "ai.onnx.ml");
    return graph.model(17, 5);
  }

  // Numbers near thresholds, random ones, and some that are special; NaN in one of `nans` numbers.
  std::vector<Number> rows(int64_t count, int nans) {
    constexpr Number kInfinity = std::numeric_limits<Number>::infinity();
    std::vector<Number> x;
    for (int64_t i = 0; i < count * plan_.features; ++i) {
      const Number near =
          nodes_[static_cast<size_t>(below(static_cast<int>(nodes_.size())))].threshold;
      switch (below(8)) {
        case 0:
          x.push_back(near);
          break;
        case 1:
          x.push_back(std::nextafter(near, kInfinity));
          break;
        case 2:
          x.push_back(std::nextafter(near, -kInfinity));
          break;
        case 3:
          x.push_back(below(20) == 0 ? (below(2) == 0 ? kInfinity : -kInfinity) : Number{-0.0});
          break;
        default:
          x.push_back(normal());
      }
      if (nans > 0 && below(nans) == 0) x.back() = std::numeric_limits<Number>::quiet_NaN();
    }
    return x;
  }

  // The sums of each row, one tree after the other.
  std::vector<Number> evaluate(const std::vector<Number>& x) const {
    const auto features = static_cast<size_t>(plan_.features);
    std::vector<Number> sums;
    for (size_t row = 0; row < x.size() / features; ++row) {
      std::vector<Number> of_row(static_cast<size_t>(plan_.targets));
      for (const int64_t root : roots_) {
        const size_t leaf = find_leaf(root, x.data() + row * features);
        of_row[static_cast<size_t>(targets_[leaf])] += weights_[leaf];
      }
      // ONNX Runtime adds a base value of 0 to a single target, which turns -0 into 0.
      if (plan_.targets == 1) of_row[0] += Number{0};
      sums.insert(sums.end(), of_row.begin(), of_row.end());
    }
    return sums;
  }

  static constexpr int32_t kType =
      std::is_same_v<Number, double> ? SIDECALL_DTYPE_FLOAT64 : SIDECALL_DTYPE_FLOAT32;

 private:
  int below(int end) { return std::uniform_int_distribution<int>(0, end - 1)(random_); }
  Number normal() { return std::normal_distribution<Number>()(random_); }

  // The last double that rounds to the same float as x.
  static Number last_of_float(Number x) {
    const auto rounded = static_cast<float>(x);
    const double next = std::nextafter(rounded, std::numeric_limits<float>::infinity());
    double last = (static_cast<double>(rounded) + next) / 2;
    while (static_cast<float>(last) != rounded) last = std::nextafter(last, -1e300);
    return static_cast<Number>(last);
  }

  int64_t add_leaf() {
    targets_.push_back(plan_.repeats ? 0 : below(plan_.targets));
    weights_.push_back(normal());
    return static_cast<int64_t>(targets_.size()) - 1;
  }

  // Replaces a leaf by a split with two leaves until there are enough.
  void grow(int leaves) {
    struct Place {
      size_t node;
      bool is_yes;
    };
    std::vector<Place> open;  // where leaves will be
    const size_t root = nodes_.size();
    roots_.push_back(static_cast<int64_t>(root));
    add_node();
    open = {{root, true}, {root, false}};
    while (static_cast<int>(open.size()) < leaves) {
      const int size = static_cast<int>(open.size());
      const auto at = static_cast<size_t>(plan_.is_deep ? size - 1 - below(2) : below(size));
      const Place place = open[at];
      open.erase(open.begin() + static_cast<std::ptrdiff_t>(at));
      const size_t node = nodes_.size();
      add_node();
      link(place.node, place.is_yes, static_cast<int64_t>(node), false);
      open.push_back({node, true});
      open.push_back({node, false});
    }
    for (const Place& place : open) link(place.node, place.is_yes, add_leaf(), true);
  }

  void add_node() {
    Number threshold = below(50) == 0 ? Number{0} : normal();
    if (plan_.is_narrow) threshold = last_of_float(threshold);
    const Mode mode = plan_.has_modes ? static_cast<Mode>(below(4)) : kLeq;
    const int feature =
        plan_.features > 100 ? below(10) * (plan_.features / 10) : below(plan_.features);
    nodes_.push_back(
        {feature, threshold, mode, plan_.has_rules && below(2) == 0, 0, 0, false, false});
  }

  void link(size_t node, bool is_yes, int64_t child, bool is_leaf) {
    (is_yes ? nodes_[node].yes : nodes_[node].no) = child;
    (is_yes ? nodes_[node].yes_is_leaf : nodes_[node].no_is_leaf) = is_leaf;
  }

  // Adds a copy of the last tree with other weights, for another target.
  void repeat(size_t num_nodes, size_t num_leaves, int64_t target) {
    const auto nodes = static_cast<int64_t>(num_nodes);
    const auto leaves = static_cast<int64_t>(num_leaves);
    roots_.push_back(roots_.back() + nodes);
    for (size_t i = 0; i < num_nodes; ++i) {
      Node<Number> node = nodes_[nodes_.size() - num_nodes];
      node.yes += node.yes_is_leaf ? leaves : nodes;
      node.no += node.no_is_leaf ? leaves : nodes;
      nodes_.push_back(node);
    }
    for (size_t i = 0; i < num_leaves; ++i) {
      targets_.push_back(target);
      weights_.push_back(normal());
    }
  }

  static bool takes_yes(const Node<Number>& node, Number x) {
    if (std::isnan(x)) return node.nan_is_yes;
    switch (node.mode) {
      case kLeq:
        return x <= node.threshold;
      case kLt:
        return x < node.threshold;
      case kGte:
        return x >= node.threshold;
      default:
        return x > node.threshold;
    }
  }

  size_t find_leaf(int64_t at, const Number* row) const {
    for (;;) {
      const Node<Number>& node = nodes_[static_cast<size_t>(at)];
      const bool is_yes = takes_yes(node, row[node.feature]);
      at = is_yes ? node.yes : node.no;
      if (is_yes ? node.yes_is_leaf : node.no_is_leaf) return static_cast<size_t>(at);
    }
  }

  const Plan plan_;
  std::mt19937_64 random_;
  std::vector<Node<Number>> nodes_;
  std::vector<int64_t> roots_, targets_;
  std::vector<Number> weights_;
};

}  // namespace drawn
