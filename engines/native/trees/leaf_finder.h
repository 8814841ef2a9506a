// Finds the leaf of each tree for a row. There are two methods; both give the same leaves.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "order.h"

namespace sidecall::native {

// Leaves are numbered through all trees, in breadth-first order within a tree, as in LeafWeights.
class LeafFinder {
 public:
  static constexpr int64_t kBlockRows = 16;

  virtual ~LeafFinder() = default;

  // row: [num_features], encoded (see RowEncoding). leaves: by tree, in memory for room() numbers.
  virtual void find_row(const float* row, int32_t* leaves) const = 0;

  // columns: [num_features][kBlockRows]; leaves: [num_trees][kBlockRows].
  virtual void find_block(const float* columns, int32_t* leaves) const = 0;

  virtual size_t room() const = 0;
};

// Walks from the root to a leaf, through several trees or with several rows side by side. Returns
// nullptr if there are too many leaves.
std::unique_ptr<LeafFinder> make_walks(const Ensemble& ensemble, const std::vector<Tree>& trees);

// Compares every split, and crosses off the leaves that each comparison rules out (QuickScorer;
// Lucchese et al., SIGIR 2015). Faster for trees with few leaves. Returns nullptr if a tree has too
// many, or if this processor lacks AVX-512.
std::unique_ptr<LeafFinder> make_leaf_sets(const Ensemble& ensemble,
                                           const std::vector<Tree>& trees);

}  // namespace sidecall::native
