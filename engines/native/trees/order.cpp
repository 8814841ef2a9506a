// Orders the nodes of trees; see order.h.
#include "order.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace sidecall::native {
namespace {

// Whether the split sends every row to the branch `yes`.
bool is_trivial(const Split& split) {
  return split.threshold == std::numeric_limits<double>::infinity() && split.nan_is_yes;
}

// Follows the branch `yes` of trivial splits.
int32_t skip_trivial(const Ensemble& ensemble, int32_t at) {
  while (at >= 0 && is_trivial(ensemble.splits[static_cast<size_t>(at)]))
    at = ensemble.splits[static_cast<size_t>(at)].yes;
  return at;
}

bool are_equal(const Split& a, const Split& b) {
  const bool same_threshold =
      a.threshold == b.threshold || (std::isnan(a.threshold) && std::isnan(b.threshold));
  return a.feature == b.feature && a.nan_is_yes == b.nan_is_yes && same_threshold;
}

}  // namespace

OrderedTrees::OrderedTrees(const Ensemble& ensemble) {
  // Each node has one parent, so no tree and no list can be longer.
  entries_.resize(ensemble.splits.size() + ensemble.num_leaves());
  split_places_.resize(entries_.size() + 1);
  leaf_places_.resize(entries_.size() + 1);
  ends_.reserve(ensemble.roots.size());
  weights_.reserve(ensemble.weights.size());
  leaf_begins_.reserve(ensemble.num_leaves() + 1);
  has_trivial_ = std::any_of(ensemble.splits.begin(), ensemble.splits.end(), is_trivial);
  for (const int32_t root : ensemble.roots) add_tree(ensemble, root);
  entries_.resize(ends_.back().entry);
  add_weights(ensemble);
  leaf_begins_.push_back(static_cast<int32_t>(weights_.size()));
}

// There is no branch on whether a child is a split or a leaf, because the processor cannot predict
// it. Work for splits only, or for leaves only, is done afterwards, at the places of their entries.
void OrderedTrees::add_tree(const Ensemble& ensemble, int32_t root) {
  const End before = ends_.empty() ? End() : ends_.back();
  TreeEntry* const tree = entries_.data() + before.entry;
  size_t count = 0, num_splits = 0, num_leaves = 0;
  const auto add = [&](int32_t at) {
    if (has_trivial_) at = skip_trivial(ensemble, at);
    // Until a leaf has its number within the tree, its entry holds its number within the ensemble.
    // Until then, first_leaf and end_leaf hold 0 and the number of leaves below the entry.
    tree[count] = {std::max(at, -1), ~at, 0, 1};
    split_places_[num_splits] = leaf_places_[num_leaves] = static_cast<int32_t>(count++);
    num_splits += at >= 0 ? 1 : 0;
    num_leaves += at < 0 ? 1 : 0;
  };
  add(root);
  End end;
  size_t end_of_level = num_splits;  // one more than the last split that is as deep as split i
  for (size_t i = 0; i < num_splits; ++i) {
    if (i == end_of_level) {
      ++end.depth;
      end_of_level = num_splits;
    }
    if (num_leaves == 0) end.shallowest = end.depth + 1;
    TreeEntry& entry = tree[split_places_[i]];
    entry.child_or_leaf = static_cast<int32_t>(count);
    const Split& split = ensemble.splits[static_cast<size_t>(entry.split)];
    add(split.no);
    add(split.yes);
  }
  if (num_splits > 0) ++end.depth;
  const bool is_repeated = ensemble.num_targets > 1 && repeats_last(ensemble, tree, count);
  if (!is_repeated) add_weights(ensemble);
  number_leaves(tree, num_splits, num_leaves);
  if (is_repeated) return;
  end.entry = before.entry + count;
  end.leaf = before.leaf + num_leaves;
  ends_.push_back(end);
}

// Numbers the leaves of a tree from left to right, and appends them to leaves_. Children come after
// their parents, so one pass from the end counts the leaves below each split, and one from the
// beginning places them.
void OrderedTrees::number_leaves(TreeEntry* tree, size_t num_splits, size_t num_leaves) {
  for (size_t i = num_splits; i-- > 0;) {
    TreeEntry& entry = tree[split_places_[i]];
    const TreeEntry* const no = tree + entry.child_or_leaf;
    entry.end_leaf = no[0].end_leaf + no[1].end_leaf;
  }
  for (size_t i = 0; i < num_splits; ++i) {
    const TreeEntry& entry = tree[split_places_[i]];
    TreeEntry* const no = tree + entry.child_or_leaf;
    TreeEntry* const yes = no + 1;
    yes->first_leaf = entry.first_leaf;
    no->first_leaf = entry.first_leaf + yes->end_leaf;
  }
  const size_t before = leaves_.size();
  leaves_.resize(before + num_leaves);
  for (size_t i = 0; i < num_leaves; ++i) {
    TreeEntry& entry = tree[leaf_places_[i]];
    leaves_[before + static_cast<size_t>(entry.first_leaf)] = entry.child_or_leaf;
    entry.child_or_leaf = entry.first_leaf;
  }
  for (size_t i = 0; i < num_splits + num_leaves; ++i) tree[i].end_leaf += tree[i].first_leaf;
}

// Whether a tree has the same splits as the last one that was added.
bool OrderedTrees::repeats_last(const Ensemble& ensemble, const TreeEntry* tree,
                                size_t num_entries) const {
  if (ends_.empty()) return false;
  const Tree last = (*this)[ends_.size() - 1];
  if (num_entries != last.num_entries) return false;
  for (size_t i = 0; i < last.num_entries; ++i) {
    const TreeEntry& a = tree[i];
    const TreeEntry& b = last.entries[i];
    if (a.split < 0 || b.split < 0) {
      if (a.split != b.split) return false;
      continue;
    }
    if (a.child_or_leaf != b.child_or_leaf ||
        !are_equal(ensemble.splits[static_cast<size_t>(a.split)],
                   ensemble.splits[static_cast<size_t>(b.split)]))
      return false;
  }
  return true;
}

// Adds the weights of the last tree, leaf by leaf, and within a leaf in the order of the trees that
// were merged.
void OrderedTrees::add_weights(const Ensemble& ensemble) {
  if (ends_.empty()) return;
  const size_t num_leaves = (*this)[ends_.size() - 1].num_leaves();
  for (size_t i = 0; i < num_leaves; ++i) {
    leaf_begins_.push_back(static_cast<int32_t>(weights_.size()));
    for (size_t of_tree = i; of_tree < leaves_.size(); of_tree += num_leaves) {
      const auto leaf = static_cast<size_t>(leaves_[of_tree]);
      weights_.insert(weights_.end(), ensemble.weights.begin() + ensemble.leaf_begins[leaf],
                      ensemble.weights.begin() + ensemble.leaf_begins[leaf + 1]);
    }
  }
  leaves_.clear();
}

}  // namespace sidecall::native
