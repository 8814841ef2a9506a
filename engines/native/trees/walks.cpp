// Finds leaves by walks from the roots of trees; see make_walks() in leaf_finder.h.
#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>

#include "leaf_finder.h"

namespace sidecall::native {
namespace {

constexpr size_t kScalarWalks = 8;  // walks that advance in parallel without vector instructions
constexpr uint32_t kQuietNan = 0x7fc00000;
// The payload of a quiet NaN, which holds the number of a leaf.
constexpr uint32_t kLeafBits = 0x3fffff;

uint32_t bits_of(float number) {
  uint32_t bits = 0;
  std::memcpy(&bits, &number, sizeof bits);
  return bits;
}

inline float number_of(uint32_t bits) {
  float number = 0;
  std::memcpy(&number, &bits, sizeof number);
  return number;
}

// Advances kScalarWalks walks until all are at leaves. at[walk] is the index of the node where a
// walk is. It compares numbers[feature * stride + bases[walk]].
template <typename N, bool kNanRules>
void walk_scalar(const N* nodes, const float* numbers, size_t stride, const int32_t* bases,
                 WalkLimits limits, int32_t* at) {
  for (int32_t depth = 0; depth < limits.deepest; ++depth) {
    uint32_t steps = 0;
    for (size_t walk = 0; walk < kScalarWalks; ++walk) {
      const N& node = nodes[at[walk]];
      const auto feature = static_cast<size_t>(node.feature & (N::kNanIsYes - 1));
      const float x = numbers[feature * stride + static_cast<size_t>(bases[walk])];
      auto yes = static_cast<int32_t>(x <= number_of(node.threshold));
      if (kNanRules)
        yes |=
            static_cast<int32_t>(x != x) & static_cast<int32_t>((node.feature & N::kNanIsYes) != 0);
      steps |= node.step;
      at[walk] += static_cast<int32_t>(node.step) + yes;
    }
    if (steps == 0 && depth >= limits.shallowest) break;
  }
}

template <typename N>
class Walks final : public RowFinder, public BlockFinder {
 public:
  Walks(const Ensemble& ensemble, const OrderedTrees& trees, const Kernels& kernels)
      : kernels_(kernels) {
    nodes_.reserve(trees.num_entries() + 1);
    for (size_t tree = 0; tree < trees.size(); ++tree) add_tree(ensemble, trees[tree]);
    make_groups();
  }

  size_t step() const override { return roots_.size(); }
  size_t room() const override { return roots_.size() + group_roots_.size(); }

  // One walk for each tree. Their nodes are kept in `leaves`, behind the results.
  void find_row(const float* row, bool has_nan, size_t, size_t, int32_t* leaves) const override {
    static constexpr int32_t kZeroBases[kWalks] = {};
    int32_t* at = leaves + roots_.size();
    std::copy(group_roots_.begin(), group_roots_.end(), at);
    for (size_t group = 0; group < group_limits_.size(); ++group)
      walk(row, has_nan, 0, kZeroBases, group_limits_[group], at + group * kWalks);
    for (size_t tree = 0; tree < roots_.size(); ++tree)
      leaves[tree] = leaf_at(at[walk_of_tree_[tree]], tree);
  }

  int64_t fewest_rows() const override { return 13; }

  // One walk for each row, through two trees at a time. With an odd number of trees, the last walks
  // are done twice.
  void find_block(const float* columns, bool has_nan, size_t begin, size_t end,
                  int32_t* leaves) const override {
    static_assert(kWalks == 2 * kBlockRows);
    int32_t bases[kWalks];
    for (size_t i = 0; i < kWalks; ++i) bases[i] = static_cast<int32_t>(i % kBlockRows);
    int32_t at[kWalks];
    for (size_t tree = begin; tree < end; tree += 2) {
      const size_t second = std::min(tree + 1, end - 1);
      std::fill(at, at + kBlockRows, roots_[tree]);
      std::fill(at + kBlockRows, at + kWalks, roots_[second]);
      WalkLimits limits = limits_[tree];
      limits.include(limits_[second]);
      walk(columns, has_nan, kBlockShift, bases, limits, at);
      for (size_t i = 0; i < kBlockRows; ++i) *leaves++ = leaf_at(at[i], tree);
      if (second == tree) break;
      for (size_t i = kBlockRows; i < kWalks; ++i) *leaves++ = leaf_at(at[i], second);
    }
  }

 private:
  static constexpr int32_t kBlockShift = 4;  // log2 of kBlockRows
  static_assert(int64_t{1} << kBlockShift == kBlockRows);

  void add_tree(const Ensemble& ensemble, const Tree& tree) {
    using Index = decltype(N::step);
    roots_.push_back(static_cast<int32_t>(nodes_.size()));
    first_leaves_.push_back(static_cast<int32_t>(tree.first_leaf));
    limits_.push_back({tree.shallowest, tree.depth});
    for (size_t i = 0; i < tree.num_entries; ++i) {
      const TreeEntry& entry = tree.entries[i];
      if (entry.split < 0) {
        nodes_.push_back({kQuietNan | static_cast<uint32_t>(entry.child_or_leaf), 0, 0});
        continue;
      }
      const Split& split = ensemble.splits[static_cast<size_t>(entry.split)];
      const auto feature = static_cast<Index>(split.feature);
      has_nan_rules_ = has_nan_rules_ || split.nan_is_yes;
      nodes_.push_back({bits_of(static_cast<float>(split.threshold)),
                        static_cast<Index>(split.nan_is_yes ? feature | N::kNanIsYes : feature),
                        static_cast<Index>(entry.child_or_leaf - static_cast<int32_t>(i))});
    }
  }

  // Groups trees of similar depth, because a group takes as many steps as its deepest tree. The
  // walks that pad the last group start at a leaf.
  void make_groups() {
    std::vector<size_t> order(limits_.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return limits_[a].deepest < limits_[b].deepest; });
    walk_of_tree_.resize(order.size());
    for (size_t walk = 0; walk < order.size(); ++walk) {
      const size_t tree = order[walk];
      if (walk % kWalks == 0) group_limits_.emplace_back();
      group_limits_.back().include(limits_[tree]);
      group_roots_.push_back(roots_[tree]);
      walk_of_tree_[tree] = static_cast<int32_t>(walk);
    }
    const auto leaf = static_cast<int32_t>(nodes_.size());
    nodes_.push_back({kQuietNan, 0, 0});
    group_roots_.resize((order.size() + kWalks - 1) / kWalks * kWalks, leaf);
  }

  int32_t leaf_at(int32_t node, size_t tree) const {
    const uint32_t payload = nodes_[static_cast<size_t>(node)].threshold & kLeafBits;
    return first_leaves_[tree] + static_cast<int32_t>(payload);
  }

  void walk(const float* numbers, bool has_nan, int32_t shift, const int32_t* bases,
            WalkLimits limits, int32_t* at) const {
    const bool needs_rules = has_nan && has_nan_rules_;
    if constexpr (std::is_same_v<N, SmallNode>) {
      const Walk kernel = kernels_.walk[needs_rules ? 1 : 0];
      if (kernel != nullptr) {
        kernel(nodes_.data(), numbers, shift, bases, limits, at);
        return;
      }
    }
    const auto kernel = needs_rules ? walk_scalar<N, true> : walk_scalar<N, false>;
    for (size_t i = 0; i < kWalks; i += kScalarWalks)
      kernel(nodes_.data(), numbers, size_t{1} << shift, bases + i, limits, at + i);
  }

  const Kernels& kernels_;
  bool has_nan_rules_ = false;
  std::vector<N> nodes_;
  std::vector<int32_t> roots_;         // by tree
  std::vector<WalkLimits> limits_;     // by tree
  std::vector<int32_t> first_leaves_;  // by tree: the number of its first leaf
  std::vector<int32_t> walk_of_tree_;  // by tree: its index in group_roots_
  std::vector<int32_t> group_roots_;   // kWalks for each group
  std::vector<WalkLimits> group_limits_;
};

}  // namespace

LeafFinders make_walks(const Ensemble& ensemble, const OrderedTrees& trees, Vectors vectors) {
  size_t largest_tree = 0;
  for (size_t tree = 0; tree < trees.size(); ++tree)
    largest_tree = std::max(largest_tree, trees[tree].num_entries);
  // The number of a leaf must fit into kLeafBits, and the index of a node into 32 bits.
  if (largest_tree / 2 > kLeafBits || trees.num_entries() >= std::numeric_limits<int32_t>::max())
    return {};
  const Kernels& kernels = kernels_of(vectors);
  const auto both = [&](auto walks) { return LeafFinders{walks, walks}; };
  if (largest_tree <= UINT16_MAX && ensemble.num_features <= INT16_MAX)
    return both(std::make_shared<Walks<SmallNode>>(ensemble, trees, kernels));
  return both(std::make_shared<Walks<LargeNode>>(ensemble, trees, kernels));
}

}  // namespace sidecall::native
