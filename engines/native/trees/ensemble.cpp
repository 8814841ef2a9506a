// Reads and checks tree ensembles; see ensemble.h.
#include "ensemble.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/text/number.h"
#include "core/hash.h"
#include "core/text.h"
#include "node_index.h"

namespace sidecall::native {
namespace {

// The comparison of a node. The numbers up to kMember are those of TreeEnsemble.
enum class Mode : uint8_t { kLeq, kLt, kGte, kGt, kEq, kNeq, kMember, kLeaf };

// Between the values 0 and 1 of a membership.
constexpr double kMembershipThreshold = 0.5;

// The largest number below x as a double or a float. NaN if there is none: no number is <= NaN.
double number_below(double x, bool is_double) {
  if (std::isnan(x) || x == -std::numeric_limits<double>::infinity())
    return std::numeric_limits<double>::quiet_NaN();
  if (is_double) return std::isinf(x) ? std::numeric_limits<double>::max() : next_below(x);
  return std::nextafter(static_cast<float>(x), -std::numeric_limits<float>::infinity());
}

// What the readers of both kinds of attributes share.
class EnsembleReader {
 public:
  explicit EnsembleReader(const Node& node) : node_(node) {}

 protected:
  [[noreturn]] void invalid(const std::string& problem) const {
    refuse_node(node_, SIDECALL_FILE_INVALID, problem);
  }
  [[noreturn]] void unsupported(const std::string& problem) const {
    refuse_node(node_, SIDECALL_UNSUPPORTED, problem);
  }

  void require_length(const std::string& name, size_t got, size_t expected) const {
    if (got != expected)
      invalid(name + ": expected " + std::to_string(expected) + " values, got " +
              std::to_string(got));
  }

  // The numbers of the tensor attribute `name`, as double. Sets is_double if their type is double.
  std::vector<double> numbers(const std::string& name, const Constant& tensor) {
    std::vector<double> result(static_cast<size_t>(tensor.count));
    if (tensor.dtype == SIDECALL_DTYPE_FLOAT64) {
      ensemble_.is_double = true;
      const auto* from = static_cast<const double*>(tensor.place.data);
      std::copy(from, from + tensor.count, result.begin());
    } else if (tensor.dtype == SIDECALL_DTYPE_FLOAT32) {
      const auto* from = static_cast<const float*>(tensor.place.data);
      std::copy(from, from + tensor.count, result.begin());
    } else {
      invalid(name + ": expected a tensor of float32 or float64, got " + dtype_name(tensor.dtype));
    }
    return result;
  }

  int32_t feature(int64_t id) {
    if (id < 0 || id >= std::numeric_limits<int32_t>::max())
      invalid("nodes_featureids: expected 0 to 2147483646, got " + std::to_string(id));
    ensemble_.num_features = std::max(ensemble_.num_features, static_cast<int32_t>(id) + 1);
    return static_cast<int32_t>(id);
  }

  int32_t target(int64_t id) const {
    if (id < 0 || id >= ensemble_.num_targets)
      invalid("expected one of the " + std::to_string(ensemble_.num_targets) +
              " targets, got target " + std::to_string(id));
    return static_cast<int32_t>(id);
  }

  void read_targets(int64_t count) {
    if (count < 1 || count > kMaxTargets)
      invalid("expected 1 to " + std::to_string(kMaxTargets) + " targets, got " +
              std::to_string(count));
    ensemble_.num_targets = static_cast<int32_t>(count);
  }

  // Rewrites a comparison to <=. x < t is x <= the number below t. x > t is the negation of x <= t,
  // so the branches are swapped; NaN satisfies neither, so nan_is_yes is inverted too. No number
  // satisfies a comparison with a NaN threshold, so there the branches stay.
  Split make_split(Mode mode, int32_t feature, double threshold, bool nan_is_yes, int32_t yes,
                   int32_t no) {
    switch (mode) {
      case Mode::kLeq:
        return {feature, nan_is_yes, false, threshold, yes, no};
      case Mode::kLt:
        return {feature, nan_is_yes, true, number_below(threshold, ensemble_.is_double), yes, no};
      case Mode::kGt:
        if (std::isnan(threshold)) return {feature, nan_is_yes, false, threshold, yes, no};
        return {feature, !nan_is_yes, false, threshold, no, yes};
      case Mode::kGte:
        if (std::isnan(threshold)) return {feature, nan_is_yes, false, threshold, yes, no};
        return {feature, !nan_is_yes, true, number_below(threshold, ensemble_.is_double), no, yes};
      case Mode::kEq:
        return equality(feature, threshold, nan_is_yes, yes, no);
      case Mode::kNeq:  // NaN differs from every number
        return equality(feature, threshold, false, no, yes);
      default:
        invalid(
            "nodes_modes: expected only BRANCH_LEQ, BRANCH_LT, BRANCH_GTE, BRANCH_GT, BRANCH_EQ, "
            "BRANCH_NEQ and LEAF");
    }
  }

  // The branch `yes` for x[feature] == value. Nodes with equal comparisons share a membership.
  Split equality(int32_t feature, double value, bool nan_is_yes, int32_t yes, int32_t no) {
    if (!ensemble_.is_double) value = static_cast<float>(value);
    std::vector<double> values;  // none for NaN, because NaN equals nothing
    if (!std::isnan(value)) values.push_back(value);
    std::string key(reinterpret_cast<const char*>(&feature), sizeof feature);
    key.append(1, nan_is_yes ? '1' : '0');
    key.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof value);
    const auto [found, is_new] =
        equalities_.emplace(std::move(key), static_cast<int32_t>(ensemble_.memberships.size()));
    if (is_new) add_membership({feature, nan_is_yes, std::move(values)});
    return member_split(found->second, yes, no);
  }

  // Returns the index of the membership.
  int32_t add_membership(Membership membership) {
    ensemble_.memberships.push_back(std::move(membership));
    return static_cast<int32_t>(ensemble_.memberships.size() - 1);
  }

  // The branch `yes` for members. Until number_memberships(), the feature of the split is ~index.
  static Split member_split(int32_t index, int32_t yes, int32_t no) {
    return {~index, false, false, kMembershipThreshold, yes, no};
  }

  // Lets the splits read the memberships as features that follow those of the row. Call this last:
  // the number of features of the row must be known.
  void number_memberships() {
    const auto total = static_cast<uint64_t>(ensemble_.num_features) + ensemble_.memberships.size();
    if (total > static_cast<uint64_t>(std::numeric_limits<int32_t>::max()))
      unsupported("expected fewer than 2147483647 features, got more");
    for (Split& split : ensemble_.splits) {
      if (split.feature < 0) split.feature = ensemble_.num_features + ~split.feature;
    }
  }

  // No node may be reached twice from the roots. There are then no cycles, so a row arrives at a
  // leaf after at most as many steps as there are nodes.
  void check_reachable() const {
    if (has_single_parents()) return;
    std::vector<bool> split_seen(ensemble_.splits.size()), leaf_seen(ensemble_.num_leaves());
    std::vector<int32_t> open(ensemble_.roots.rbegin(), ensemble_.roots.rend());
    while (!open.empty()) {
      const int32_t at = open.back();
      open.pop_back();
      auto&& seen =
          at < 0 ? leaf_seen[static_cast<size_t>(~at)] : split_seen[static_cast<size_t>(at)];
      if (seen) invalid("expected one parent for each node, got a node with two");
      seen = true;
      if (at < 0) continue;
      open.push_back(ensemble_.splits[static_cast<size_t>(at)].no);
      open.push_back(ensemble_.splits[static_cast<size_t>(at)].yes);
    }
  }

  // Whether no node is named twice as a child or a root. Then none is reached twice. This takes no
  // branch that depends on the shapes of the trees, so it is much quicker than following them.
  bool has_single_parents() const {
    const size_t num_splits = ensemble_.splits.size();
    std::vector<uint8_t> seen(num_splits + ensemble_.num_leaves());
    uint8_t is_repeated = 0;
    const auto see = [&](int32_t at) {
      const size_t offset[] = {0, num_splits};
      uint8_t& is_seen = seen[static_cast<size_t>(std::max(at, ~at)) + offset[at < 0 ? 1 : 0]];
      is_repeated |= is_seen;
      is_seen = 1;
    };
    for (const int32_t root : ensemble_.roots) see(root);
    for (const Split& split : ensemble_.splits) {
      see(split.no);
      see(split.yes);
    }
    return is_repeated == 0;
  }

  static constexpr int64_t kMaxTargets = 1 << 20;
  const Node& node_;
  Ensemble ensemble_;

 private:
  // The index of a membership, by the bytes of its feature, nan_is_member and value.
  std::unordered_map<std::string, int32_t, SeededHash> equalities_;
};

// ---- TreeEnsemble, ai.onnx.ml 5 ----

// In these attributes, nodes and leaves are numbered through all trees.
class TreeEnsembleReader : EnsembleReader {
 public:
  using EnsembleReader::EnsembleReader;

  Ensemble read() {
    read_targets(node_.integer("n_targets", 1));
    const int64_t aggregate = node_.integer("aggregate_function", 1);
    if (aggregate < 0 || aggregate > 3)
      invalid("aggregate_function: expected 0 to 3, got " + std::to_string(aggregate));
    ensemble_.aggregate = static_cast<Aggregate>(aggregate);
    const int64_t transform = node_.integer("post_transform", 0);
    if (transform < 0 || transform > 4)
      invalid("post_transform: expected 0 to 4, got " + std::to_string(transform));
    ensemble_.transform = static_cast<PostTransform>(transform);
    read_leaves();
    read_members();
    read_splits();
    const auto& roots = node_.integers("tree_roots");
    for (const int64_t root : roots) ensemble_.roots.push_back(child(root, false));
    if (roots.empty()) invalid("tree_roots: expected at least 1 tree, got none");
    if (!has_single_parents()) {
      copy_shared_leaves();
      check_reachable();
    }
    number_memberships();
    return std::move(ensemble_);
  }

 private:
  const Constant& tensor(const char* name) const {
    const Constant* found = node_.tensor(name);
    if (found == nullptr) invalid(std::string(name) + ": expected a tensor, got none");
    return *found;
  }

  void read_leaves() {
    const auto& targets = node_.integers("leaf_targetids");
    const std::vector<double> weights = numbers("leaf_weights", tensor("leaf_weights"));
    require_length("leaf_weights", weights.size(), targets.size());
    ensemble_.leaf_begins.reserve(targets.size() + 1);
    ensemble_.weights.reserve(targets.size());
    for (size_t i = 0; i < targets.size(); ++i) {
      ensemble_.leaf_begins.push_back(static_cast<int32_t>(i));
      ensemble_.weights.push_back({target(targets[i]), weights[i]});
    }
    ensemble_.leaf_begins.push_back(static_cast<int32_t>(targets.size()));
    num_leaves_ = static_cast<int64_t>(targets.size());
  }

  void read_splits() {
    const Constant& modes = tensor("nodes_modes");
    if (modes.dtype != SIDECALL_DTYPE_UINT8)
      invalid(std::string("nodes_modes: expected uint8, got ") + dtype_name(modes.dtype));
    const auto count = static_cast<size_t>(modes.count);
    num_splits_ = modes.count;
    const std::vector<double> thresholds = numbers("nodes_splits", tensor("nodes_splits"));
    const auto& features = node_.integers("nodes_featureids");
    const auto& yes = node_.integers("nodes_truenodeids");
    const auto& no = node_.integers("nodes_falsenodeids");
    const auto& yes_leaf = node_.integers("nodes_trueleafs");
    const auto& no_leaf = node_.integers("nodes_falseleafs");
    const auto& missing = node_.integers("nodes_missing_value_tracks_true");
    require_length("nodes_splits", thresholds.size(), count);
    require_length("nodes_featureids", features.size(), count);
    require_length("nodes_truenodeids", yes.size(), count);
    require_length("nodes_falsenodeids", no.size(), count);
    require_length("nodes_trueleafs", yes_leaf.size(), count);
    require_length("nodes_falseleafs", no_leaf.size(), count);
    if (!missing.empty()) require_length("nodes_missing_value_tracks_true", missing.size(), count);
    ensemble_.splits.reserve(count);
    const auto* mode = static_cast<const uint8_t*>(modes.place.data);
    for (size_t i = 0; i < count; ++i) {
      if (mode[i] > static_cast<uint8_t>(Mode::kMember))
        invalid("nodes_modes: expected 0 to 6, got " + std::to_string(mode[i]));
      const int32_t on_yes = child(yes[i], yes_leaf[i] != 0);
      const int32_t on_no = child(no[i], no_leaf[i] != 0);
      const bool nan_is_yes = !missing.empty() && missing[i] == 1;
      const int32_t column = feature(features[i]);
      ensemble_.splits.push_back(
          mode[i] == static_cast<uint8_t>(Mode::kMember)
              ? member_split(add_membership({column, nan_is_yes, next_members()}), on_yes, on_no)
              : make_split(static_cast<Mode>(mode[i]), column, thresholds[i], nan_is_yes, on_yes,
                           on_no));
    }
    if (next_member_ < members_.size())
      invalid("membership_values: expected one list for each node with mode 6, got more");
  }

  // The lists of all nodes with mode 6 follow each other. NaN ends each list; the last one may lack
  // it.
  void read_members() {
    if (const Constant* values = node_.tensor("membership_values"))
      members_ = numbers("membership_values", *values);
  }

  std::vector<double> next_members() {
    if (next_member_ >= members_.size())
      invalid("membership_values: expected one list for each node with mode 6, got fewer");
    const auto begin = members_.begin() + static_cast<std::ptrdiff_t>(next_member_);
    const auto end = std::find_if(begin, members_.end(), [](double x) { return std::isnan(x); });
    next_member_ += static_cast<size_t>(end - begin) + 1;
    return {begin, end};
  }

  // In a file, branches may share a leaf: a tree that is a single leaf is written as a node with
  // two branches to it. In an Ensemble each leaf has one parent, so this copies the leaf for every
  // further branch.
  void copy_shared_leaves() {
    std::vector<bool> has_parent(ensemble_.num_leaves());
    const auto own_leaf = [&](int32_t child) {
      if (child >= 0) return child;
      auto&& is_taken = has_parent[static_cast<size_t>(~child)];
      if (!is_taken) {
        is_taken = true;
        return child;
      }
      ensemble_.weights.push_back(ensemble_.weights[static_cast<size_t>(~child)]);
      ensemble_.leaf_begins.push_back(static_cast<int32_t>(ensemble_.weights.size()));
      return ~static_cast<int32_t>(ensemble_.num_leaves() - 1);
    };
    for (Split& split : ensemble_.splits) {
      split.yes = own_leaf(split.yes);
      split.no = own_leaf(split.no);
    }
  }

  // The index of a split, or ~leaf. Written without a branch, because the processor cannot predict
  // which children are leaves: a process usually reads a file only once.
  int32_t child(int64_t id, bool is_leaf) const {
    const int64_t ends[] = {num_splits_, num_leaves_};
    if (id < 0 || id >= ends[is_leaf ? 1 : 0])
      invalid("expected one of the " + std::to_string(ends[is_leaf ? 1 : 0]) +
              (is_leaf ? " leaves" : " nodes") + ", got " + (is_leaf ? "leaf " : "node ") +
              std::to_string(id));
    return static_cast<int32_t>(id) ^ -static_cast<int32_t>(is_leaf);  // ~id is id ^ -1
  }

  int64_t num_leaves_ = 0, num_splits_ = 0;  // in the file
  std::vector<double> members_;              // of the lists of all nodes
  size_t next_member_ = 0;
};

// ---- TreeEnsembleRegressor and TreeEnsembleClassifier ----

// In these attributes, nodes are numbered within each tree, and a leaf is a node.
class TreeNodesReader : EnsembleReader {
 public:
  TreeNodesReader(const Node& node, const char* target) : EnsembleReader(node), target_(target) {}

  Ensemble read() {
    read_targets(num_targets());
    ensemble_.aggregate = aggregate();
    ensemble_.transform = post_transform_of(node_);
    read_base_values();
    numbers_of(key("_weights"));  // notes whether they are double, which read_nodes() needs to know
    read_nodes();
    read_weights();
    check_reachable();
    check_single_weights();
    number_memberships();
    return std::move(ensemble_);
  }

 private:
  std::string key(const char* suffix) const { return std::string(target_) + suffix; }

  int64_t num_targets() const {
    if (std::string(target_) == "target") return node_.integer("n_targets", 1);
    return static_cast<int64_t>(std::max(node_.integers("classlabels_int64s").size(),
                                         node_.texts("classlabels_strings").size()));
  }

  Aggregate aggregate() const {
    const std::string_view text = node_.text("aggregate_function", "SUM");
    if (text == "AVERAGE") return Aggregate::kAverage;
    if (text == "SUM") return Aggregate::kSum;
    if (text == "MIN") return Aggregate::kMin;
    if (text == "MAX") return Aggregate::kMax;
    invalid("aggregate_function: expected AVERAGE, SUM, MIN or MAX, got '" +
            printable(std::string(text)) + "'");
  }

  // The numbers of the attribute `name`, which are floats, or of `name`_as_tensor instead.
  std::vector<double> numbers_of(const std::string& name) {
    if (const Constant* tensor = node_.tensor(name + "_as_tensor"))
      return numbers(name + "_as_tensor", *tensor);
    const auto& reals = node_.reals(name);
    return {reals.begin(), reals.end()};
  }

  void read_base_values() {
    ensemble_.base_values = numbers_of("base_values");
    const size_t count = ensemble_.base_values.size();
    if (count != 0 && count != 1 && count != static_cast<size_t>(ensemble_.num_targets))
      invalid("base_values: expected one value, or one for each target, got " +
              std::to_string(count));
  }

  static Mode mode_of(std::string_view text) {
    static constexpr std::string_view kModes[] = {"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE",
                                                  "BRANCH_GT",  "BRANCH_EQ", "BRANCH_NEQ"};
    for (size_t i = 0; i < std::size(kModes); ++i) {
      if (text == kModes[i]) return static_cast<Mode>(i);
    }
    return text == "LEAF" ? Mode::kLeaf : Mode::kMember;
  }

  // The nodes of a tree follow each other, and the first one is its root. All nodes get their
  // places first, because a node may name children that come later.
  void read_nodes() {
    const auto& trees = node_.integers("nodes_treeids");
    const auto& ids = node_.integers("nodes_nodeids");
    const auto& features = node_.integers("nodes_featureids");
    const auto& modes = node_.texts("nodes_modes");
    const auto& yes = node_.integers("nodes_truenodeids");
    const auto& no = node_.integers("nodes_falsenodeids");
    const auto& missing = node_.integers("nodes_missing_value_tracks_true");
    const std::vector<double> thresholds = numbers_of("nodes_values");
    const size_t count = trees.size();
    require_length("nodes_nodeids", ids.size(), count);
    require_length("nodes_featureids", features.size(), count);
    require_length("nodes_modes", modes.size(), count);
    require_length("nodes_truenodeids", yes.size(), count);
    require_length("nodes_falsenodeids", no.size(), count);
    require_length("nodes_values", thresholds.size(), count);
    if (!missing.empty()) require_length("nodes_missing_value_tracks_true", missing.size(), count);
    if (count == 0) invalid("nodes_treeids: expected at least 1 node, got none");
    if (count >= static_cast<size_t>(std::numeric_limits<int32_t>::max()))
      invalid("nodes_treeids: expected fewer than 2147483647 nodes, got " + std::to_string(count));
    if (const std::optional<size_t> twice = index_.fill(trees, ids))
      invalid("node " + std::to_string(ids[*twice]) + " of tree " + std::to_string(trees[*twice]) +
              " occurs twice");
    std::vector<Mode> kinds(count);
    places_.resize(count);
    int32_t num_splits = 0;
    for (size_t i = 0; i < count; ++i) {
      kinds[i] = mode_of(modes[i]);
      places_[i] = kinds[i] == Mode::kLeaf ? ~num_leaves_++ : num_splits++;
      if (i == 0 || trees[i] != trees[i - 1]) ensemble_.roots.push_back(places_[i]);
    }
    ensemble_.splits.reserve(static_cast<size_t>(num_splits));
    for (size_t i = 0; i < count; ++i) {
      if (kinds[i] == Mode::kLeaf) continue;
      ensemble_.splits.push_back(make_split(kinds[i], feature(features[i]), thresholds[i],
                                            !missing.empty() && missing[i] == 1,
                                            find(trees[i], yes[i]), find(trees[i], no[i])));
    }
  }

  // The index of a split, or ~leaf.
  int32_t find(int64_t tree, int64_t id) {
    const int32_t position = index_.find(tree, id);
    if (position < 0)
      invalid("node " + std::to_string(id) + " of tree " + std::to_string(tree) +
              " does not exist");
    return places_[static_cast<size_t>(position)];
  }

  // The weights of a leaf need not be adjacent in the file, so they are sorted by leaf. The sort is
  // stable, because the order of the weights of a leaf is that of their summation.
  void read_weights() {
    const auto& trees = node_.integers(key("_treeids"));
    const auto& ids = node_.integers(key("_nodeids"));
    const auto& targets = node_.integers(key("_ids"));
    const std::vector<double> values = numbers_of(key("_weights"));
    require_length(key("_nodeids"), ids.size(), trees.size());
    require_length(key("_ids"), targets.size(), trees.size());
    require_length(key("_weights"), values.size(), trees.size());
    std::vector<std::pair<int32_t, Weight>> sorted;
    sorted.reserve(trees.size());
    for (size_t i = 0; i < trees.size(); ++i) {
      const int32_t place = find(trees[i], ids[i]);
      if (place >= 0)
        unsupported(key("_nodeids") + ": expected weights of leaves, got one of an inner node");
      sorted.emplace_back(~place, Weight{target(targets[i]), values[i]});
    }
    const auto is_before = [](const auto& a, const auto& b) { return a.first < b.first; };
    if (!std::is_sorted(sorted.begin(), sorted.end(), is_before))
      std::stable_sort(sorted.begin(), sorted.end(), is_before);
    ensemble_.leaf_begins.reserve(static_cast<size_t>(num_leaves_) + 1);
    ensemble_.weights.reserve(sorted.size());
    size_t at = 0;
    for (int32_t leaf = 0; leaf < num_leaves_; ++leaf) {
      ensemble_.leaf_begins.push_back(static_cast<int32_t>(at));
      for (; at < sorted.size() && sorted[at].first == leaf; ++at)
        ensemble_.weights.push_back(sorted[at].second);
    }
    ensemble_.leaf_begins.push_back(static_cast<int32_t>(at));
  }

  // With one target ONNX Runtime treats a leaf without a weight, or with several, in its own way.
  void check_single_weights() const {
    if (ensemble_.num_targets != 1) return;
    for (size_t leaf = 0; leaf < ensemble_.num_leaves(); ++leaf) {
      const int32_t count = ensemble_.leaf_begins[leaf + 1] - ensemble_.leaf_begins[leaf];
      if (count != 1)
        unsupported(key("_weights") + ": expected 1 weight for each leaf, got " +
                    std::to_string(count));
    }
  }

  const char* target_;
  int32_t num_leaves_ = 0;
  NodeIndex index_;
  std::vector<int32_t> places_;  // of each node of the file: the index of its split, or ~leaf
};

}  // namespace

Ensemble read_tree_ensemble(const Node& node) { return TreeEnsembleReader(node).read(); }

Ensemble read_tree_nodes(const Node& node, const char* target) {
  return TreeNodesReader(node, target).read();
}

void widen(Ensemble* ensemble) {
  if (ensemble->is_double) return;
  for (Split& split : ensemble->splits) {
    if (!split.is_below || std::isnan(split.threshold)) continue;
    const auto own =
        std::nextafter(static_cast<float>(split.threshold), std::numeric_limits<float>::infinity());
    split.threshold = number_below(own, true);
  }
  ensemble->is_double = true;
}

}  // namespace sidecall::native
