// Orders the nodes of trees; see order.h.
#include "order.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace sidecall::native {
namespace {

// Follows the branch `yes` of splits that send every row there.
int32_t skip_trivial(const Ensemble& ensemble, int32_t at) {
  while (at >= 0) {
    const Split& split = ensemble.splits[static_cast<size_t>(at)];
    if (split.threshold != std::numeric_limits<double>::infinity() || !split.nan_is_yes) break;
    at = split.yes;
  }
  return at;
}

bool are_equal(const Split& a, const Split& b) {
  const bool same_threshold =
      a.threshold == b.threshold || (std::isnan(a.threshold) && std::isnan(b.threshold));
  return a.feature == b.feature && a.nan_is_yes == b.nan_is_yes && same_threshold;
}

}  // namespace

OrderedTrees::OrderedTrees(const Ensemble& ensemble) {
  entries_.reserve(ensemble.splits.size() + ensemble.num_leaves());
  ends_.reserve(ensemble.roots.size());
  weights_.reserve(ensemble.weights.size());
  leaf_begins_.reserve(ensemble.num_leaves() + 1);
  for (const int32_t root : ensemble.roots) add_tree(ensemble, root);
  add_weights(ensemble);
  leaf_begins_.push_back(static_cast<int32_t>(weights_.size()));
}

void OrderedTrees::add_tree(const Ensemble& ensemble, int32_t root) {
  const size_t begin = entries_.size();
  const auto add = [&](int32_t at) {
    at = skip_trivial(ensemble, at);
    // Until its number is known, a leaf has that of the ensemble.
    entries_.push_back(at < 0 ? TreeEntry{-1, ~at} : TreeEntry{at, 0});
  };
  add(root);
  End end;
  end.shallowest = std::numeric_limits<int32_t>::max();
  size_t end_of_level = entries_.size();
  for (size_t i = begin; i < entries_.size(); ++i) {
    if (i == end_of_level) {
      ++end.depth;
      end_of_level = entries_.size();
    }
    if (entries_[i].split < 0) {
      end.shallowest = std::min(end.shallowest, end.depth);
      continue;
    }
    entries_[i].child_or_leaf = static_cast<int32_t>(entries_.size() - begin);
    const Split& split = ensemble.splits[static_cast<size_t>(entries_[i].split)];
    add(split.no);
    add(split.yes);
  }
  const bool is_repeated = ensemble.num_targets > 1 && repeats_last(ensemble, begin);
  if (!is_repeated) add_weights(ensemble);
  const int32_t num_leaves = number_leaves(begin);
  if (is_repeated) {
    entries_.resize(begin);
    return;
  }
  end.entry = entries_.size();
  end.leaf = (ends_.empty() ? 0 : ends_.back().leaf) + static_cast<size_t>(num_leaves);
  ends_.push_back(end);
}

// Numbers the leaves of the tree from entry `begin` on from left to right, and appends them to
// leaves_. Returns how many there are. Children come after their parents, so one pass from the end
// counts the leaves below each entry, and one from the beginning places them.
int32_t OrderedTrees::number_leaves(size_t begin) {
  TreeEntry* const tree = entries_.data() + begin;
  const size_t count = entries_.size() - begin;
  for (size_t i = count; i-- > 0;) {
    // Until the second pass, end_leaf is the number of leaves.
    tree[i].end_leaf = 1;
    if (tree[i].split < 0) continue;
    const TreeEntry* const no = tree + tree[i].child_or_leaf;
    tree[i].end_leaf = no[0].end_leaf + no[1].end_leaf;
  }
  const int32_t num_leaves = tree[0].end_leaf;
  const size_t before = leaves_.size();
  leaves_.resize(before + static_cast<size_t>(num_leaves));
  for (size_t i = 0; i < count; ++i) {
    TreeEntry& entry = tree[i];
    if (entry.split < 0) {
      leaves_[before + static_cast<size_t>(entry.first_leaf)] = entry.child_or_leaf;
      entry.child_or_leaf = entry.first_leaf;
    } else {
      TreeEntry* const no = tree + entry.child_or_leaf;
      TreeEntry* const yes = no + 1;
      yes->first_leaf = entry.first_leaf;
      no->first_leaf = entry.first_leaf + yes->end_leaf;
    }
    entry.end_leaf += entry.first_leaf;
  }
  return num_leaves;
}

// Whether the tree from entry `begin` on has the same splits as the last tree that was added.
bool OrderedTrees::repeats_last(const Ensemble& ensemble, size_t begin) const {
  if (ends_.empty()) return false;
  const Tree last = (*this)[ends_.size() - 1];
  if (entries_.size() - begin != last.num_entries) return false;
  for (size_t i = 0; i < last.num_entries; ++i) {
    const TreeEntry& a = entries_[begin + i];
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
