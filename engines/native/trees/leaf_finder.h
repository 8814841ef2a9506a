// Finds the leaf that a row reaches in each tree. There are two methods, which give equal results.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/kernels.h"
#include "order.h"

namespace sidecall::native {

// Leaves are numbered consecutively through all trees, as in LeafWeights. `has_nan` must be set if
// any of the numbers is NaN.

class RowFinder {
 public:
  virtual ~RowFinder() = default;

  // row: [num_features], encoded (see RowEncoding). Writes the leaves of the trees begin to end - 1
  // to `leaves`, which must have room() elements: those after the results are scratch memory. begin
  // must be a multiple of step(), and end too unless it is the number of trees.
  virtual void find_row(const float* row, bool has_nan, size_t begin, size_t end,
                        int32_t* leaves) const = 0;
  virtual size_t step() const = 0;
  virtual size_t room() const = 0;
};

class BlockFinder {
 public:
  virtual ~BlockFinder() = default;

  // The leaves of kBlockRows rows, column by column, in the trees begin to end - 1:
  // columns[num_features][kBlockRows] and leaves[end - begin][kBlockRows].
  virtual void find_block(const float* columns, bool has_nan, size_t begin, size_t end,
                          int32_t* leaves) const = 0;

  // Fewer rows are quicker one by one than as a block.
  virtual int64_t fewest_rows() const = 0;
};

struct LeafFinders {
  std::shared_ptr<const RowFinder> row;
  std::shared_ptr<const BlockFinder> block;
};

// The quickest finders. They are nullptr if a tree or the ensemble is too large.
LeafFinders make_leaf_finders(const Ensemble& ensemble, const OrderedTrees& trees, Vectors vectors);

// Walks from the root of a tree to a leaf. Many walks advance in parallel: through several trees
// for one row, or with several rows. Both finders are nullptr if a tree or the ensemble is too
// large.
LeafFinders make_walks(const Ensemble& ensemble, const OrderedTrees& trees, Vectors vectors);

// Evaluates every split of a tree, and removes the leaves that the result excludes from a bit set
// (QuickScorer; Lucchese et al., SIGIR 2015). This is faster for trees with few leaves. A finder is
// nullptr if walks are faster, or if a tree has too many leaves.
LeafFinders make_leaf_sets(const Ensemble& ensemble, const OrderedTrees& trees, Vectors vectors);

}  // namespace sidecall::native
