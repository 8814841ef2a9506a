// Finds the leaf that a row reaches in each tree. There are two methods, which give equal results.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "order.h"

namespace sidecall::native {

// Leaves are numbered consecutively through all trees, in breadth-first order within a tree, as in
// LeafWeights.
class LeafFinder {
 public:
  static constexpr int64_t kBlockRows = 16;

  virtual ~LeafFinder() = default;

  // row: [num_features], encoded (see RowEncoding). Writes the leaf of each tree to `leaves`, which
  // must have room() elements: those after the results are scratch memory.
  virtual void find_row(const float* row, int32_t* leaves) const = 0;

  // The same for kBlockRows rows, column by column: columns[num_features][kBlockRows] and
  // leaves[num_trees][kBlockRows].
  virtual void find_block(const float* columns, int32_t* leaves) const = 0;

  virtual size_t room() const = 0;
};

// Walks from the root of a tree to a leaf. Many walks advance in parallel: through several trees
// for one row, or with several rows. Returns nullptr if the ensemble has too many leaves.
std::unique_ptr<LeafFinder> make_walks(const Ensemble& ensemble, const std::vector<Tree>& trees);

// Evaluates every split of a tree, and removes the leaves that the result excludes from a bit set
// (QuickScorer; Lucchese et al., SIGIR 2015). This is faster for trees with few leaves. Returns
// nullptr if a tree has too many leaves, or if this processor lacks AVX-512.
std::unique_ptr<LeafFinder> make_leaf_sets(const Ensemble& ensemble,
                                           const std::vector<Tree>& trees);

}  // namespace sidecall::native
