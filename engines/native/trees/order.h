// Trees in breadth-first order, without splits that send every row to the same branch.
#pragma once

#include <cstdint>
#include <vector>

#include "ensemble.h"

namespace sidecall::native {

// A split or a leaf. The children of a split are adjacent.
struct TreeEntry {
  int32_t split;  // the index in Ensemble::splits; -1 for a leaf
  // For a split: the index, within the tree, of its child `no`; the child `yes` comes directly
  // after it. For a leaf: its number within the tree. Leaves are numbered from left to right, with
  // the branch `yes` of each split on the left.
  int32_t child_or_leaf;
  // The leaves below this entry, or the leaf itself: those from first_leaf to end_leaf - 1.
  int32_t first_leaf = 0, end_leaf = 0;
};

// One of the trees of OrderedTrees.
struct Tree {
  const TreeEntry* entries;
  size_t num_entries;
  size_t first_leaf;   // its number among the leaves of all trees
  int32_t depth;       // the number of splits on the longest path to a leaf
  int32_t shallowest;  // the same for the shortest path

  // A tree in which each split has two children.
  size_t num_leaves() const { return (num_entries + 1) / 2; }
};

// The trees of an ensemble, in the order of summation. A leaf of TreeEnsemble has a single target,
// so exporters repeat a tree with several targets once for each target. Adjacent trees with equal
// splits are merged into one here.
class OrderedTrees {
 public:
  explicit OrderedTrees(const Ensemble& ensemble);

  size_t size() const { return ends_.size(); }
  Tree operator[](size_t tree) const {
    const End begin = tree == 0 ? End() : ends_[tree - 1];
    return {entries_.data() + begin.entry, ends_[tree].entry - begin.entry, begin.leaf,
            ends_[tree].depth, ends_[tree].shallowest};
  }
  size_t num_leaves() const { return ends_.back().leaf; }
  size_t num_entries() const { return entries_.size(); }

  // The weights of leaf i, counted through all trees, are those from leaf_begins()[i] to
  // leaf_begins()[i + 1] - 1.
  const std::vector<Weight>& weights() const { return weights_; }
  const std::vector<int32_t>& leaf_begins() const { return leaf_begins_; }

 private:
  struct End {
    size_t entry = 0, leaf = 0;
    int32_t depth = 0, shallowest = 0;
  };

  void add_tree(const Ensemble& ensemble, int32_t root);
  bool repeats_last(const Ensemble& ensemble, const TreeEntry* tree, size_t num_entries) const;
  void number_leaves(TreeEntry* tree, size_t num_splits, size_t num_leaves);
  void add_weights(const Ensemble& ensemble);

  bool has_trivial_ = false;  // whether some splits send every row to the same branch
  std::vector<TreeEntry> entries_;
  std::vector<End> ends_;  // by tree
  std::vector<Weight> weights_;
  std::vector<int32_t> leaf_begins_;
  // The numbers, within the ensemble, of the leaves of the last tree and of the trees that were
  // merged into it, from left to right. Their weights are added when a tree comes that cannot be
  // merged.
  std::vector<int32_t> leaves_;
  // For the tree that is being added: the index of each split, and of each leaf, within the tree.
  std::vector<int32_t> split_places_, leaf_places_;
};

}  // namespace sidecall::native
