// The weights of the leaves of a tree ensemble.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/kernels.h"
#include "order.h"

namespace sidecall::native {

// Leaves are numbered consecutively through all trees, from left to right within a tree.
template <typename Sum>
class LeafWeights {
 public:
  LeafWeights(const OrderedTrees& trees, int32_t num_targets, Aggregate aggregate, Vectors vectors);

  // Adds the weights of the leaves that a row reached to its sums, one tree after the other. If the
  // aggregate is kMin (kMax), a weight that is smaller (larger) than the sum replaces it instead.
  // leaves: [num_trees]; sums: [num_targets].
  void add_row(const int32_t* leaves, size_t num_trees, Sum* sums) const;
  // The same for the first `count` rows of a block. leaves: [num_trees][kBlockRows];
  // sums: [count][num_targets].
  void add_block(const int32_t* leaves, size_t num_trees, int64_t count, Sum* sums) const;

 private:
  // kSingle: every leaf has one weight, for the same target. kDense: every leaf has one weight for
  // each target. kSparse: otherwise, and always for kMin and kMax.
  enum class Form : uint8_t { kSingle, kDense, kSparse };

  // Calls visit(add), where add(leaf, sums) adds the weights of one leaf.
  template <typename Visit>
  void with_add(Visit visit) const;

  const int32_t num_targets_;
  const Aggregate aggregate_;
  const AddValues<Sum> add_values_;
  Form form_ = Form::kSparse;
  int32_t single_target_ = 0;
  std::vector<Sum> values_;      // those of a leaf are adjacent
  std::vector<int32_t> begins_;  // if kSparse, by leaf: its first index in values_ and targets_
  std::vector<int32_t> targets_;
};

}  // namespace sidecall::native
