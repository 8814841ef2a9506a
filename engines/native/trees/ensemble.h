// A tree ensemble as a model file describes it, checked and in one form for all tree operators.
#pragma once

#include <cstdint>
#include <vector>

#include "engines/native/operator.h"
#include "engines/native/post_transform.h"

namespace sidecall::native {

enum class Aggregate : uint8_t { kAverage, kSum, kMin, kMax };

// An inner node. A row goes to `yes` if x[feature] <= threshold, and also if x[feature] is NaN and
// `nan_is_yes` is set; otherwise to `no`. The other comparisons of ONNX are rewritten to this one.
struct Split {
  int32_t feature = 0;
  bool nan_is_yes = false;
  double threshold = 0;
  int32_t yes = 0;  // a split, or ~leaf
  int32_t no = 0;
};

struct Weight {
  int32_t target;
  double value;
};

struct Ensemble {
  std::vector<Split> splits;
  std::vector<int32_t> roots;        // of the trees, in the order in which they are summed
  std::vector<int32_t> leaf_begins;  // the first weight of each leaf, and the end of the last
  std::vector<Weight> weights;
  int32_t num_targets = 1;
  int32_t num_features = 0;  // 1 + the largest feature
  bool is_double = false;    // thresholds and sums are double, otherwise float
  Aggregate aggregate = Aggregate::kSum;
  PostTransform transform = PostTransform::kNone;
  std::vector<double> base_values;

  size_t num_leaves() const { return leaf_begins.size() - 1; }
};

// Each reads the attributes of one operator. Throws FILE_INVALID for attributes that contradict
// each other: ids out of range, cycles, a node with two parents, lists of different lengths.
// Throws UNSUPPORTED for what this engine does not compute.
Ensemble read_tree_ensemble(const Node& node);                   // TreeEnsemble
Ensemble read_tree_nodes(const Node& node, const char* target);  // TreeEnsembleRegressor: "target",
                                                                 // TreeEnsembleClassifier: "class"

}  // namespace sidecall::native
