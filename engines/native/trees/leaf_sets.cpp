// Finds leaves with bit sets: each split removes the leaves that a row cannot reach; see
// make_leaf_sets() in leaf_finder.h.
#include <algorithm>
#include <limits>

#include "leaf_finder.h"
#include "vectors.h"

#if defined(__x86_64__)

namespace sidecall::native {
namespace {

constexpr size_t kLanes = 16;      // floats of an AVX-512 register
constexpr size_t kMaxLeaves = 32;  // of a tree; a lane has one bit for each

// Bits stand for the leaves of a tree from left to right, with the branch `yes` of a split on the
// left. A row that takes `no` at a split cannot reach the leaves below `yes`, so their bits are
// cleared. After all splits, the lowest bit that is still set is the leaf that the row reaches.
struct SplitSet {
  float threshold;
  int32_t feature;
  bool nan_is_yes;
  uint32_t keeps;  // a mask: the leaves that a row which takes `no` may still reach
};

struct TreeSets {
  std::vector<SplitSet> splits;
  std::vector<int32_t> leaves;  // from left to right: the breadth-first number of the leaf
};

// Visits the tree depth first, `yes` before `no`, so leaves are met from left to right.
TreeSets make_sets(const Ensemble& ensemble, const Tree& tree) {
  TreeSets sets;
  struct Open {
    int32_t entry;
    size_t set;  // the split of which this entry is the branch `no`; kNone for other entries
  };
  constexpr size_t kNone = std::numeric_limits<size_t>::max();
  std::vector<Open> open = {{0, kNone}};
  while (!open.empty()) {
    const Open at = open.back();
    open.pop_back();
    if (at.set != kNone) {
      // The branch `yes` is complete: the leaves that were met since its split are all below it.
      const auto begin = static_cast<uint32_t>(sets.splits[at.set].keeps);
      const auto end = static_cast<uint32_t>(sets.leaves.size());
      const uint64_t below = (uint64_t{1} << end) - (uint64_t{1} << begin);
      sets.splits[at.set].keeps = ~static_cast<uint32_t>(below);
    }
    const Tree::Entry& entry = tree.entries[static_cast<size_t>(at.entry)];
    if (entry.split < 0) {
      sets.leaves.push_back(entry.leaf);
      continue;
    }
    const Split& split = ensemble.splits[static_cast<size_t>(entry.split)];
    // Until the branch `yes` is complete, `keeps` holds the number of its first leaf.
    sets.splits.push_back({static_cast<float>(split.threshold), split.feature, split.nan_is_yes,
                           static_cast<uint32_t>(sets.leaves.size())});
    open.push_back({entry.child, sets.splits.size() - 1});
    open.push_back({entry.child + 1, kNone});
  }
  return sets;
}

// kNanRules: some split sends NaN to `yes`. Most ensembles have none, and are compared faster.
template <bool kNanRules>
class LeafSets final : public LeafFinder {
 public:
  LeafSets(const Ensemble& ensemble, const std::vector<Tree>& trees)
      : num_features_(ensemble.num_features) {
    std::vector<TreeSets> all;
    int32_t first_leaf = 0;
    for (const Tree& tree : trees) {
      TreeSets sets = make_sets(ensemble, tree);
      num_splits_.push_back(static_cast<int32_t>(sets.splits.size()));
      for (const SplitSet& split : sets.splits) splits_.push_back(split);
      leaves_.resize(leaves_.size() + kMaxLeaves);
      for (size_t i = 0; i < sets.leaves.size(); ++i)
        leaves_[leaves_.size() - kMaxLeaves + i] = first_leaf + sets.leaves[i];
      first_leaf += static_cast<int32_t>(sets.leaves.size());
      all.push_back(std::move(sets));
    }
    for (size_t begin = 0; begin < all.size(); begin += kLanes) add_group(all, begin);
  }

  size_t room() const override { return groups_.size() * kLanes; }

  void find_row(const float* row, int32_t* leaves) const override {
    if (num_features_ <= 32) {
      find_narrow_row(row, leaves);
    } else {
      find_wide_row(row, leaves);
    }
  }

  // One lane for each row; one tree after the other.
  SIDECALL_AVX512 void find_block(const float* columns, int32_t* leaves) const override {
    const SplitSet* split = splits_.data();
    for (size_t tree = 0; tree < num_splits_.size(); ++tree) {
      __m512i left = _mm512_set1_epi32(-1);
      for (int32_t i = 0; i < num_splits_[tree]; ++i, ++split) {
        const __m512 x = _mm512_loadu_ps(columns + split->feature * kBlockRows);
        const __m512 threshold = _mm512_set1_ps(split->threshold);
        __mmask16 no = _mm512_cmp_ps_mask(x, threshold, _CMP_NLE_UQ);  // true for NaN
        if (kNanRules && split->nan_is_yes)
          no = static_cast<__mmask16>(no & ~_mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q));
        left = _mm512_mask_and_epi32(left, no, left,
                                     _mm512_set1_epi32(static_cast<int32_t>(split->keeps)));
      }
      const __m512i places = _mm512_add_epi32(
          first_set(left), _mm512_set1_epi32(static_cast<int32_t>(tree * kMaxLeaves)));
      _mm512_storeu_si512(leaves + tree * kBlockRows,
                          _mm512_i32gather_epi32(places, leaves_.data(), 4));
    }
  }

 private:
  // kLanes trees, for find_row(): one lane for each tree. Slot i has split i of each of them.
  struct Group {
    size_t first;  // the index in slots_
    size_t num_slots;
  };
  struct Slot {
    float thresholds[kLanes];
    int32_t features[kLanes];
    uint32_t keeps[kLanes];
    uint32_t nan_is_yes;  // a bit for each lane
  };

  void add_group(const std::vector<TreeSets>& all, size_t begin) {
    const size_t end = std::min(begin + kLanes, all.size());
    size_t num_slots = 0;
    for (size_t tree = begin; tree < end; ++tree)
      num_slots = std::max(num_slots, all[tree].splits.size());
    groups_.push_back({slots_.size(), num_slots});
    for (size_t i = 0; i < num_slots; ++i) {
      Slot& slot = slots_.emplace_back();
      for (size_t lane = 0; lane < kLanes; ++lane) {
        // For a tree with fewer splits, this one changes nothing.
        SplitSet split = {0, 0, false, UINT32_MAX};
        if (begin + lane < end && i < all[begin + lane].splits.size())
          split = all[begin + lane].splits[i];
        slot.thresholds[lane] = split.threshold;
        slot.features[lane] = split.feature;
        slot.keeps[lane] = split.keeps;
        if (split.nan_is_yes) slot.nan_is_yes |= 1U << lane;
      }
    }
    leaves_.resize(std::max(leaves_.size(), groups_.size() * kLanes * kMaxLeaves));
  }

  // The position of the lowest set bit of each lane. At least one bit of each lane is set.
  SIDECALL_AVX512 static __m512i first_set(__m512i bits) {
    const __m512i lowest = _mm512_and_si512(bits, _mm512_sub_epi32(_mm512_setzero_si512(), bits));
    return _mm512_sub_epi32(_mm512_set1_epi32(31), _mm512_lzcnt_epi32(lowest));
  }

  // Clears the bits of the leaves that x excludes.
  SIDECALL_AVX512 static void exclude(const Slot& slot, __m512 x, __m512i* left) {
    const __m512 thresholds = _mm512_loadu_ps(slot.thresholds);
    __mmask16 no = _mm512_cmp_ps_mask(x, thresholds, _CMP_NLE_UQ);
    if (kNanRules) {
      const auto rules = static_cast<__mmask16>(slot.nan_is_yes);
      no = static_cast<__mmask16>(no & ~_mm512_mask_cmp_ps_mask(rules, x, x, _CMP_UNORD_Q));
    }
    *left = _mm512_mask_and_epi32(*left, no, *left, _mm512_loadu_si512(slot.keeps));
  }

  // Writes the leaves of a group of trees, given the bits that are left.
  SIDECALL_AVX512 void store(size_t group, __m512i left, int32_t* leaves) const {
    const __m512i lanes = _mm512_setr_epi32(0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352,
                                            384, 416, 448, 480);
    static_assert(kMaxLeaves == 32);
    const int32_t* from = leaves_.data() + group * kLanes * kMaxLeaves;
    _mm512_storeu_si512(leaves + group * kLanes,
                        _mm512_i32gather_epi32(_mm512_add_epi32(first_set(left), lanes), from, 4));
  }

  // A row of at most 32 numbers fits into two registers, from which a permutation selects features.
  // A wide row is read from memory instead, by a gather.
  SIDECALL_AVX512 void find_narrow_row(const float* row, int32_t* leaves) const {
    const int32_t rest = num_features_ - static_cast<int32_t>(kLanes);
    const auto mask = [](int32_t count) {
      return static_cast<__mmask16>(count >= 16 ? 0xffff : count <= 0 ? 0 : (1 << count) - 1);
    };
    const __m512 low = _mm512_maskz_loadu_ps(mask(num_features_), row);
    const __m512 high = _mm512_maskz_loadu_ps(mask(rest), row + kLanes);
    for (size_t group = 0; group < groups_.size(); ++group) {
      __m512i left = _mm512_set1_epi32(-1);
      const Slot* slot = slots_.data() + groups_[group].first;
      for (size_t i = 0; i < groups_[group].num_slots; ++i, ++slot) {
        const __m512i features = _mm512_loadu_si512(slot->features);
        exclude(*slot, _mm512_permutex2var_ps(low, features, high), &left);
      }
      store(group, left, leaves);
    }
  }

  SIDECALL_AVX512 void find_wide_row(const float* row, int32_t* leaves) const {
    for (size_t group = 0; group < groups_.size(); ++group) {
      __m512i left = _mm512_set1_epi32(-1);
      const Slot* slot = slots_.data() + groups_[group].first;
      for (size_t i = 0; i < groups_[group].num_slots; ++i, ++slot)
        exclude(*slot, _mm512_i32gather_ps(_mm512_loadu_si512(slot->features), row, 4), &left);
      store(group, left, leaves);
    }
  }

  const int32_t num_features_;
  // For find_block():
  std::vector<SplitSet> splits_;     // of one tree after the other
  std::vector<int32_t> num_splits_;  // by tree
  // For find_row():
  std::vector<Slot> slots_;
  std::vector<Group> groups_;
  // For both: kMaxLeaves for each tree, from left to right, numbered through all trees.
  std::vector<int32_t> leaves_;
};

}  // namespace

std::unique_ptr<LeafFinder> make_leaf_sets(const Ensemble& ensemble,
                                           const std::vector<Tree>& trees) {
  constexpr size_t kMaxTrees = size_t{1} << 20;  // positions of leaves are 32-bit numbers
  if (!has_avx512() || trees.size() > kMaxTrees) return nullptr;
  for (const Tree& tree : trees) {
    if (tree.leaf_begins.size() - 1 > kMaxLeaves) return nullptr;
  }
  const auto has_rule = [&](const Tree::Entry& entry) {
    return entry.split >= 0 && ensemble.splits[static_cast<size_t>(entry.split)].nan_is_yes;
  };
  const bool has_nan_rules = std::any_of(trees.begin(), trees.end(), [&](const Tree& tree) {
    return std::any_of(tree.entries.begin(), tree.entries.end(), has_rule);
  });
  if (has_nan_rules) return std::make_unique<LeafSets<true>>(ensemble, trees);
  return std::make_unique<LeafSets<false>>(ensemble, trees);
}

}  // namespace sidecall::native

#else

namespace sidecall::native {

std::unique_ptr<LeafFinder> make_leaf_sets(const Ensemble&, const std::vector<Tree>&) {
  return nullptr;
}

}  // namespace sidecall::native

#endif
