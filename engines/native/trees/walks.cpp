// Finds leaves by walks from the roots of trees; see make_walks() in leaf_finder.h.
#include <algorithm>
#include <cstring>
#include <limits>

#include "leaf_finder.h"
#include "vectors.h"

namespace sidecall::native {
namespace {

constexpr size_t kWalks = 32;       // walks that advance in parallel
constexpr size_t kScalarWalks = 8;  // the same without vector instructions
constexpr uint32_t kQuietNan = 0x7fc00000;
constexpr uint32_t kMaxLeaves = 0x3fffff;  // the payload bits of a quiet NaN

// A split or a leaf. From node i a walk continues at node i + step, or at i + step + 1 if the row
// takes the branch `yes`. At a leaf, `step` is 0 and the threshold is a NaN, which no number is <=,
// so a walk stays there. The payload of the NaN is the number of the leaf.
template <typename Index>
struct Node {
  static constexpr Index kNanIsYes = Index{1} << (8 * sizeof(Index) - 1);

  uint32_t threshold;  // the bits of a float
  Index feature;       // with kNanIsYes set if NaN takes the branch `yes`
  Index step;
};
using SmallNode = Node<uint16_t>;
using LargeNode = Node<uint32_t>;
static_assert(sizeof(SmallNode) == 8);

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

// Every walk reaches a leaf after at least `shallowest` and at most `deepest` steps.
struct Limits {
  int32_t shallowest = std::numeric_limits<int32_t>::max();
  int32_t deepest = 0;

  void include(const Tree& tree) {
    shallowest = std::min(shallowest, tree.shallowest);
    deepest = std::max(deepest, tree.depth);
  }
};

// Advances kScalarWalks walks until all are at leaves. at[walk] is the index of the node where a
// walk is. It compares numbers[feature * stride + bases[walk]].
template <typename N, bool kNanRules>
void walk_scalar(const N* nodes, const float* numbers, size_t stride, const int32_t* bases,
                 Limits limits, int32_t* at) {
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

#if defined(__x86_64__)
// Advances 16 walks by one step. Returns Node::step of their nodes, which are all 0 when every walk
// is at a leaf. The numbers are as in walk_scalar(), with a stride of 2^shift.
template <bool kNanRules>
SIDECALL_AVX512 inline __m512i step_avx512(const SmallNode* nodes, const float* numbers,
                                           int32_t shift, __m512i bases, __m512i* at) {
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  const __m512i odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
  // A node has 8 bytes: the threshold, and `rest` with feature and step.
  const __m512i low = _mm512_i32gather_epi64(_mm512_castsi512_si256(*at), nodes, 8);
  const __m512i high = _mm512_i32gather_epi64(_mm512_extracti64x4_epi64(*at, 1), nodes, 8);
  const __m512 thresholds = _mm512_castsi512_ps(_mm512_permutex2var_epi32(low, even, high));
  const __m512i rest = _mm512_permutex2var_epi32(low, odd, high);
  const __m512i features = _mm512_and_si512(rest, _mm512_set1_epi32(0x7fff));
  const __m512i steps = _mm512_srli_epi32(rest, 16);
  const __m512i places =
      _mm512_add_epi32(_mm512_sll_epi32(features, _mm_cvtsi32_si128(shift)), bases);
  const __m512 x = _mm512_i32gather_ps(places, numbers, 4);
  __mmask16 yes = _mm512_cmp_ps_mask(x, thresholds, _CMP_LE_OQ);
  if (kNanRules) {
    const __mmask16 nan_is_yes = _mm512_test_epi32_mask(rest, _mm512_set1_epi32(0x8000));
    yes = static_cast<__mmask16>(yes | _mm512_mask_cmp_ps_mask(nan_is_yes, x, x, _CMP_UNORD_Q));
  }
  const __m512i next = _mm512_add_epi32(*at, steps);
  *at = _mm512_mask_add_epi32(next, yes, next, _mm512_set1_epi32(1));
  return steps;
}

template <bool kNanRules>
SIDECALL_AVX512 void walk_avx512(const SmallNode* nodes, const float* numbers, int32_t shift,
                                 const int32_t* bases, Limits limits, int32_t* at) {
  const __m512i bases0 = _mm512_loadu_si512(bases);
  const __m512i bases1 = _mm512_loadu_si512(bases + 16);
  __m512i at0 = _mm512_loadu_si512(at);
  __m512i at1 = _mm512_loadu_si512(at + 16);
  for (int32_t depth = 0; depth < limits.deepest; ++depth) {
    const __m512i steps0 = step_avx512<kNanRules>(nodes, numbers, shift, bases0, &at0);
    const __m512i steps1 = step_avx512<kNanRules>(nodes, numbers, shift, bases1, &at1);
    const __m512i steps = _mm512_or_si512(steps0, steps1);
    if (depth >= limits.shallowest && _mm512_test_epi32_mask(steps, steps) == 0) break;
  }
  _mm512_storeu_si512(at, at0);
  _mm512_storeu_si512(at + 16, at1);
}
#endif

template <typename N>
class Walks final : public LeafFinder {
 public:
  Walks(const Ensemble& ensemble, const std::vector<Tree>& trees)
      : has_vectors_(std::is_same_v<N, SmallNode> && has_avx512()) {
    uint32_t leaf = 0;
    for (const Tree& tree : trees) add_tree(ensemble, tree, &leaf);
    make_groups(trees);
  }

  size_t room() const override { return roots_.size() + group_roots_.size(); }

  // One walk for each tree. Their nodes are kept in `leaves`, behind the results.
  void find_row(const float* row, int32_t* leaves) const override {
    static constexpr int32_t kZeroBases[kWalks] = {};
    int32_t* at = leaves + roots_.size();
    std::copy(group_roots_.begin(), group_roots_.end(), at);
    for (size_t group = 0; group < group_limits_.size(); ++group)
      walk(row, 0, kZeroBases, group_limits_[group], at + group * kWalks);
    for (size_t tree = 0; tree < roots_.size(); ++tree)
      leaves[tree] = leaf_at(at[walk_of_tree_[tree]]);
  }

  // One walk for each row, through two trees at a time. With an odd number of trees, the last walks
  // are done twice.
  void find_block(const float* columns, int32_t* leaves) const override {
    static_assert(kWalks == 2 * kBlockRows);
    int32_t bases[kWalks];
    for (size_t i = 0; i < kWalks; ++i) bases[i] = static_cast<int32_t>(i % kBlockRows);
    int32_t at[kWalks];
    for (size_t tree = 0; tree < roots_.size(); tree += 2) {
      const size_t second = std::min(tree + 1, roots_.size() - 1);
      std::fill(at, at + kBlockRows, roots_[tree]);
      std::fill(at + kBlockRows, at + kWalks, roots_[second]);
      Limits limits = limits_[tree];
      limits.shallowest = std::min(limits.shallowest, limits_[second].shallowest);
      limits.deepest = std::max(limits.deepest, limits_[second].deepest);
      walk(columns, kBlockShift, bases, limits, at);
      const size_t count = (second - tree + 1) * kBlockRows;
      for (size_t i = 0; i < count; ++i) leaves[tree * kBlockRows + i] = leaf_at(at[i]);
    }
  }

 private:
  static constexpr int32_t kBlockShift = 4;  // log2 of kBlockRows
  static_assert(int64_t{1} << kBlockShift == kBlockRows);

  void add_tree(const Ensemble& ensemble, const Tree& tree, uint32_t* leaf) {
    using Index = decltype(N::step);
    roots_.push_back(static_cast<int32_t>(nodes_.size()));
    limits_.emplace_back().include(tree);
    for (size_t i = 0; i < tree.entries.size(); ++i) {
      const Tree::Entry& entry = tree.entries[i];
      if (entry.split < 0) {
        nodes_.push_back({kQuietNan | (*leaf)++, 0, 0});
        continue;
      }
      const Split& split = ensemble.splits[static_cast<size_t>(entry.split)];
      const auto feature = static_cast<Index>(split.feature);
      has_nan_rules_ = has_nan_rules_ || split.nan_is_yes;
      nodes_.push_back({bits_of(static_cast<float>(split.threshold)),
                        static_cast<Index>(split.nan_is_yes ? feature | N::kNanIsYes : feature),
                        static_cast<Index>(entry.child - static_cast<int32_t>(i))});
    }
  }

  // Groups trees of similar depth, because a group takes as many steps as its deepest tree. The
  // walks that pad the last group start at a leaf.
  void make_groups(const std::vector<Tree>& trees) {
    std::vector<size_t> order(trees.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return trees[a].depth < trees[b].depth; });
    walk_of_tree_.resize(order.size());
    for (size_t walk = 0; walk < order.size(); ++walk) {
      const size_t tree = order[walk];
      if (walk % kWalks == 0) group_limits_.emplace_back();
      group_limits_.back().include(trees[tree]);
      group_roots_.push_back(roots_[tree]);
      walk_of_tree_[tree] = static_cast<int32_t>(walk);
    }
    const auto leaf = static_cast<int32_t>(nodes_.size());
    nodes_.push_back({kQuietNan, 0, 0});
    group_roots_.resize((order.size() + kWalks - 1) / kWalks * kWalks, leaf);
  }

  int32_t leaf_at(int32_t node) const {
    return static_cast<int32_t>(nodes_[static_cast<size_t>(node)].threshold & kMaxLeaves);
  }

  void walk(const float* numbers, int32_t shift, const int32_t* bases, Limits limits,
            int32_t* at) const {
    if (has_nan_rules_) {
      walk_with<true>(numbers, shift, bases, limits, at);
    } else {
      walk_with<false>(numbers, shift, bases, limits, at);
    }
  }

  template <bool kNanRules>
  void walk_with(const float* numbers, int32_t shift, const int32_t* bases, Limits limits,
                 int32_t* at) const {
#if defined(__x86_64__)
    if constexpr (std::is_same_v<N, SmallNode>) {
      if (has_vectors_) {
        walk_avx512<kNanRules>(nodes_.data(), numbers, shift, bases, limits, at);
        return;
      }
    }
#endif
    for (size_t walk = 0; walk < kWalks; walk += kScalarWalks)
      walk_scalar<N, kNanRules>(nodes_.data(), numbers, size_t{1} << shift, bases + walk, limits,
                                at + walk);
  }

  const bool has_vectors_;
  bool has_nan_rules_ = false;
  std::vector<N> nodes_;
  std::vector<int32_t> roots_;         // by tree
  std::vector<Limits> limits_;         // by tree
  std::vector<int32_t> walk_of_tree_;  // by tree: its index in group_roots_
  std::vector<int32_t> group_roots_;   // kWalks for each group
  std::vector<Limits> group_limits_;
};

}  // namespace

std::unique_ptr<LeafFinder> make_walks(const Ensemble& ensemble, const std::vector<Tree>& trees) {
  size_t num_leaves = 0;
  size_t largest_tree = 0;
  for (const Tree& tree : trees) {
    num_leaves += tree.leaf_begins.size() - 1;
    largest_tree = std::max(largest_tree, tree.entries.size());
  }
  if (num_leaves > kMaxLeaves) return nullptr;
  if (largest_tree <= UINT16_MAX && ensemble.num_features <= INT16_MAX)
    return std::make_unique<Walks<SmallNode>>(ensemble, trees);
  return std::make_unique<Walks<LargeNode>>(ensemble, trees);
}

}  // namespace sidecall::native
