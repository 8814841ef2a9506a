// Trees in breadth-first order, without splits that send every row to the same branch.
#pragma once

#include <cstdint>
#include <vector>

#include "ensemble.h"

namespace sidecall::native {

// One tree.
struct Tree {
  // A split or a leaf. The children of a split are adjacent.
  struct Entry {
    int32_t split;  // the index in Ensemble::splits; -1 for a leaf
    int32_t leaf;   // the number of the leaf in this tree; -1 for a split
    int32_t child;  // of a split: the index of the entry `no`; that of `yes` follows
  };
  std::vector<Entry> entries;
  int32_t depth = 0;                 // the number of splits on the longest path to a leaf
  int32_t shallowest = 0;            // the same for the shortest path
  std::vector<Weight> weights;       // of all leaves
  std::vector<int32_t> leaf_begins;  // by leaf: its first index in `weights`; then weights.size()
};

// The trees of an ensemble, in the order of summation. A leaf of TreeEnsemble has a single target,
// so exporters repeat a tree with several targets once for each target. Adjacent trees with equal
// splits are merged into one here.
std::vector<Tree> order_trees(const Ensemble& ensemble);

}  // namespace sidecall::native
