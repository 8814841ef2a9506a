// Trees in breadth-first order, without splits that decide nothing.
#pragma once

#include <cstdint>
#include <vector>

#include "ensemble.h"

namespace sidecall::native {

// One tree. A node is a split or a leaf; the children of a split stand next to each other.
struct Tree {
  struct Entry {
    int32_t split;  // -1 for a leaf
    int32_t leaf;   // -1 for a split
    int32_t child;  // of a split: the position of `no`; `yes` follows
  };
  std::vector<Entry> entries;
  int32_t depth = 0;            // the longest way to a leaf
  int32_t shallowest = 0;       // the shortest way to a leaf
  std::vector<Weight> weights;  // leaf_begins gives those of each leaf
  std::vector<int32_t> leaf_begins;
};

// The trees of an ensemble, in the order in which they are summed. The operator TreeEnsemble has
// one target for each leaf, so exporters write a tree with several targets once for each of them;
// such neighbours become one tree again.
std::vector<Tree> order_trees(const Ensemble& ensemble);

}  // namespace sidecall::native
