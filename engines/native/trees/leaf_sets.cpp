// Finds leaves with bit sets: each split removes the leaves that a row cannot reach; see
// make_leaf_sets() in leaf_finder.h.
#include <algorithm>

#include "leaf_finder.h"

namespace sidecall::native {
namespace {

// Bits stand for the leaves of a tree from left to right, with the branch `yes` of a split on the
// left. A row that takes `no` at a split cannot reach the leaves below `yes`, so their bits are
// cleared. After all splits, the lowest bit that is still set is the leaf that the row reaches.
struct LeafSet {
  float threshold;
  int32_t feature;
  bool nan_is_yes;
  uint64_t removes;  // the leaves that a row which takes `no` cannot reach
};

// The set of the leaves begin to end - 1.
uint64_t leaf_range(uint64_t begin, uint64_t end) {
  const auto below = [](uint64_t leaf) {
    return leaf >= 64 ? UINT64_MAX : (UINT64_C(1) << leaf) - 1;
  };
  return below(end) & ~below(begin);
}

uint32_t word_of(const LeafSet& set, size_t word) {
  return static_cast<uint32_t>(set.removes >> (word * kWordBits));
}

// Replaces `sets`.
void make_sets(const Ensemble& ensemble, const Tree& tree, std::vector<LeafSet>* sets) {
  const size_t num_splits = tree.num_entries - tree.num_leaves();
  sets->resize(num_splits);
  for (size_t i = 0, at = 0; at < num_splits; ++i) {
    const TreeEntry& entry = tree.entries[i];
    // Also writes a set for a leaf, which the next entry overwrites. This needs no branch; the
    // processor could not predict which entries are leaves.
    const bool is_split = entry.split >= 0;
    const Split& split = ensemble.splits[static_cast<size_t>(std::max(entry.split, 0))];
    const TreeEntry& yes = tree.entries[is_split ? entry.child_or_leaf + 1 : 0];
    (*sets)[at] = {
        static_cast<float>(split.threshold), split.feature, split.nan_is_yes,
        leaf_range(static_cast<uint64_t>(yes.first_leaf), static_cast<uint64_t>(yes.end_leaf))};
    at += is_split ? 1 : 0;
  }
}

// The finders add one tree after the other; add_end() completes their tables.

template <size_t kWords>
class BlockSets final : public BlockFinder {
 public:
  explicit BlockSets(const LeafSetKernels<kWords>* kernels) : kernels_(kernels) {}

  void reserve(const OrderedTrees& trees) {
    tables_.splits.reserve(trees.num_entries() - trees.num_leaves());
    tables_.split_begins.reserve(trees.size() + 1);
    tables_.first_leaves.reserve(trees.size());
  }

  void add_tree(const std::vector<LeafSet>& sets, size_t first_leaf) {
    add_end();  // of the tree before
    tables_.first_leaves.push_back(static_cast<int32_t>(first_leaf));
    for (const LeafSet& set : sets) {
      has_nan_rules_ = has_nan_rules_ || set.nan_is_yes;
      SplitSet<kWords>& split = tables_.splits.emplace_back();
      split.threshold = set.threshold;
      split.column = set.feature * static_cast<int32_t>(kBlockRows);
      split.nan_is_yes = set.nan_is_yes;
      for (size_t word = 0; word < kWords; ++word) split.removes[word] = word_of(set, word);
    }
  }

  void add_end() { tables_.split_begins.push_back(static_cast<uint32_t>(tables_.splits.size())); }

  void find_block(const float* columns, bool has_nan, size_t begin, size_t end,
                  int32_t* leaves) const override {
    kernels_[has_nan && has_nan_rules_ ? 1 : 0].find_block(tables_, columns, begin, end, leaves);
  }

  int64_t fewest_rows() const override { return 6; }

 private:
  const LeafSetKernels<kWords>* const kernels_;
  LeafSetBlocks<kWords> tables_;
  bool has_nan_rules_ = false;
};

template <size_t kWords>
class RowSets final : public RowFinder {
 public:
  RowSets(const LeafSetKernels<kWords>* kernels, int32_t num_features) : kernels_(kernels) {
    tables_.num_features = num_features;
  }

  // Trees form groups of kLanes. Where a tree of a group has fewer splits than others, its splits
  // remove nothing.
  void add_tree(const std::vector<LeafSet>& sets, size_t first_leaf) {
    const size_t lane = tables_.first_leaves.size() % kLanes;
    tables_.first_leaves.push_back(static_cast<int32_t>(first_leaf));
    if (lane == 0) begin_group();
    const size_t begin = tables_.slot_begins.back();
    const size_t at_once = tables_.is_short() ? kSlotsAtOnce : 1;
    while (tables_.slots.size() < begin + sets.size() || tables_.slots.size() % at_once != 0) {
      tables_.slots.emplace_back();
      tables_.nan_rules.push_back(0);
      if (tables_.slots.size() % at_once == 0) tables_.features.emplace_back();
    }
    for (size_t i = 0; i < sets.size(); ++i) {
      const size_t at = begin + i;
      tables_.slots[at].thresholds[lane] = sets[i].threshold;
      for (size_t word = 0; word < kWords; ++word)
        tables_.slots[at].removes[word][lane] = word_of(sets[i], word);
      has_nan_rules_ = has_nan_rules_ || sets[i].nan_is_yes;
      if (sets[i].nan_is_yes) tables_.nan_rules[at] |= 1U << lane;
      const auto feature = static_cast<uint32_t>(sets[i].feature);
      tables_.features[at / at_once].lanes[lane] |= feature << (8 * (at % at_once));
    }
  }

  void add_end() {
    tables_.first_leaves.resize(tables_.slot_begins.size() * kLanes);
    begin_group();
  }

  void find_row(const float* row, bool has_nan, size_t begin, size_t end,
                int32_t* leaves) const override {
    const LeafSetKernels<kWords>& kernels = kernels_[has_nan && has_nan_rules_ ? 1 : 0];
    const auto find = tables_.is_short() ? kernels.find_short_row : kernels.find_long_row;
    find(tables_, row, begin / kLanes, (end + kLanes - 1) / kLanes, leaves);
  }

  size_t step() const override { return 2 * kLanes; }
  size_t room() const override { return step(); }

 private:
  void begin_group() { tables_.slot_begins.push_back(static_cast<uint32_t>(tables_.slots.size())); }

  const LeafSetKernels<kWords>* const kernels_;
  LeafSetRows<kWords> tables_;
  bool has_nan_rules_ = false;
};

template <size_t kWords>
LeafFinders make_finders(const Ensemble& ensemble, const OrderedTrees& trees,
                         const LeafSetKernels<kWords>* kernels, bool for_rows) {
  if (kernels->find_block == nullptr) return {};
  const auto block = std::make_shared<BlockSets<kWords>>(kernels);
  std::shared_ptr<RowSets<kWords>> row;
  if (for_rows) row = std::make_shared<RowSets<kWords>>(kernels, ensemble.num_features);
  block->reserve(trees);
  std::vector<LeafSet> sets;
  for (size_t i = 0; i < trees.size(); ++i) {
    const Tree tree = trees[i];
    make_sets(ensemble, tree, &sets);
    block->add_tree(sets, tree.first_leaf);
    if (row != nullptr) row->add_tree(sets, tree.first_leaf);
  }
  block->add_end();
  if (row != nullptr) row->add_end();
  return {row, block};
}

}  // namespace

LeafFinders make_leaf_sets(const Ensemble& ensemble, const OrderedTrees& trees, Vectors vectors) {
  size_t most_leaves = 0;
  for (size_t tree = 0; tree < trees.size(); ++tree)
    most_leaves = std::max(most_leaves, trees[tree].num_leaves());
  // Indices of leaves, splits and encoded numbers are 32-bit numbers.
  constexpr size_t kMost = size_t{1} << 26;
  if (trees.num_leaves() > kMost || static_cast<size_t>(ensemble.num_features) > kMost) return {};
  const Kernels& kernels = kernels_of(vectors);
  const bool is_short = ensemble.num_features <= kShortRow;
  const size_t most_of_row =
      is_short ? kernels.most_leaves_of_short_row : kernels.most_leaves_of_long_row;
  const bool for_rows = most_leaves <= most_of_row;
  if (most_leaves <= kWordBits) return make_finders(ensemble, trees, kernels.leaf_sets, for_rows);
  if (most_leaves <= 2 * kWordBits)
    return make_finders(ensemble, trees, kernels.wide_leaf_sets, for_rows);
  return {};
}

}  // namespace sidecall::native
