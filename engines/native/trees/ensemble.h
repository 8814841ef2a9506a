// A tree ensemble as a model file describes it: checked, and in one form for all tree operators.
#pragma once

#include <cstdint>
#include <vector>

#include "engines/native/operator.h"
#include "engines/native/post_transform.h"

namespace sidecall::native {

enum class Aggregate : uint8_t { kAverage, kSum, kMin, kMax };

// A feature that is computed from another one: 0 if x[feature] is one of the values, otherwise 1.
// NaN is a member if `nan_is_member` is set.
struct Membership {
  int32_t feature = 0;
  bool nan_is_member = false;
  std::vector<double> values;
};

// An inner node. A row takes the branch `yes` if x[feature] <= threshold, or if x[feature] is NaN
// and `nan_is_yes` is set; otherwise it takes `no`. The other comparisons are rewritten to <=; a
// comparison with single values reads a Membership, whose features follow those of the row.
struct Split {
  int32_t feature = 0;
  bool nan_is_yes = false;
  bool is_below = false;  // `threshold` is the number below that of the file
  double threshold = 0;
  int32_t yes = 0;  // the index of a split, or ~i for leaf i; `no` and the roots likewise
  int32_t no = 0;
};

struct Weight {
  int32_t target;
  double value;
};

struct Ensemble {
  std::vector<Split> splits;
  std::vector<int32_t> roots;        // by tree, in the order of summation
  std::vector<int32_t> leaf_begins;  // by leaf: its first index in `weights`; then weights.size()
  std::vector<Weight> weights;
  int32_t num_targets = 1;
  int32_t num_features = 0;  // of the row: 1 + the largest index that a split or membership reads
  std::vector<Membership> memberships;
  bool is_double = false;  // thresholds and sums are double, otherwise float
  Aggregate aggregate = Aggregate::kSum;
  PostTransform transform = PostTransform::kNone;
  std::vector<double> base_values;  // none, one, or one for each target

  size_t num_leaves() const { return leaf_begins.size() - 1; }
};

// Both read the attributes of a node. They throw FILE_INVALID if the attributes are inconsistent
// (ids out of range, cycles, a node with two parents, lists of different lengths), and UNSUPPORTED
// for what this engine does not compute.

// Reads a TreeEnsemble.
Ensemble read_tree_ensemble(const Node& node);
// Reads a TreeEnsembleRegressor (target: "target") or a TreeEnsembleClassifier ("class"). `target`
// is the prefix of the attributes with the weights of the leaves.
Ensemble read_tree_nodes(const Node& node, const char* target);

// Makes the ensemble one for rows of double; its thresholds and weights stay those of the file.
void widen(Ensemble* ensemble);

}  // namespace sidecall::native
