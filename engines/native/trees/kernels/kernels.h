// The inner loops of tree ensembles, one set for each kind of vector instructions, and the tables
// that they read.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "vectors.h"

namespace sidecall::native {

// Batches are processed in blocks of rows. The encoded numbers of a block are stored column by
// column: columns[num_features][kBlockRows].
constexpr int64_t kBlockRows = 16;

// ---- Leaf sets; see leaf_sets.cpp ----

// A set of leaves of one tree has kWords words. The leftmost leaf is the lowest bit of the first
// word.
constexpr size_t kWordBits = 32;

// A split, for a block of rows.
template <size_t kWords>
struct SplitSet {
  float threshold;
  int32_t column;  // the index of its feature in the encoded block: feature * kBlockRows
  bool nan_is_yes;
  uint32_t removes[kWords];  // the leaves that a row which takes `no` cannot reach
};

template <size_t kWords>
struct LeafSetBlocks {
  std::vector<SplitSet<kWords>> splits;  // of one tree after the other
  std::vector<uint32_t> split_begins;    // by tree: its first index in `splits`; then splits.size()
  std::vector<int32_t> first_leaves;     // by tree
};

// One split of each of kLanes trees, for a single row. Aligned, because a load that crosses the
// border of a cache line takes twice as long.
constexpr size_t kLanes = 16;
template <size_t kWords>
struct alignas(64) SplitSlot {
  float thresholds[kLanes];
  uint32_t removes[kWords][kLanes];
};

// The features of slots. A row of at most kShortRow numbers fits into registers, and an instruction
// selects a number by the low bits of each lane. So a lane has the features of kSlotsAtOnce slots,
// one byte for each, the first one in the lowest byte. For longer rows, a lane has the feature of
// one slot.
constexpr int32_t kShortRow = 32;
constexpr size_t kSlotsAtOnce = 4;
struct alignas(64) SlotFeatures {
  uint32_t lanes[kLanes];
};

template <size_t kWords>
struct LeafSetRows {
  int32_t num_features;
  std::vector<SplitSlot<kWords>> slots;  // of one group of kLanes trees after the other
  std::vector<uint32_t> nan_rules;       // by slot: a bit for each lane where NaN takes `yes`
  std::vector<SlotFeatures> features;    // by slot, or by kSlotsAtOnce slots for short rows
  std::vector<uint32_t> slot_begins;     // by group: its first index in `slots`; then slots.size()
  std::vector<int32_t> first_leaves;     // by tree, padded to full groups

  bool is_short() const { return num_features <= kShortRow; }
};

template <size_t kWords>
struct LeafSetKernels {
  // Finds the leaf of each row in each tree from `begin` to `end` - 1, and writes it to
  // leaves[tree - begin][kBlockRows].
  using FindBlock = void (*)(const LeafSetBlocks<kWords>& tables, const float* columns,
                             size_t begin, size_t end, int32_t* leaves);
  // Finds the leaf of the row in each tree of the groups from `begin` to `end` - 1, and writes it
  // to leaves[end - begin][kLanes].
  using FindRow = void (*)(const LeafSetRows<kWords>& tables, const float* row, size_t begin,
                           size_t end, int32_t* leaves);
  // nullptr: there is no such kernel.
  FindBlock find_block = nullptr;
  FindRow find_short_row = nullptr;
  FindRow find_long_row = nullptr;
};

// ---- Walks; see walks.cpp ----

constexpr size_t kWalks = 32;  // walks that advance in parallel

// A split or a leaf. From node i a walk continues at node i + step, or at i + step + 1 if the row
// takes the branch `yes`. At a leaf, `step` is 0 and the threshold is a NaN. No comparison with
// it is true, so the walk stays there. The payload of the NaN is the number of the leaf within its
// tree.
template <typename Index>
struct WalkNode {
  static constexpr Index kNanIsYes = Index{1} << (8 * sizeof(Index) - 1);

  uint32_t threshold;  // the bits of a float
  Index feature;       // with kNanIsYes set if NaN takes the branch `yes`
  Index step;
};
using SmallNode = WalkNode<uint16_t>;
using LargeNode = WalkNode<uint32_t>;
static_assert(sizeof(SmallNode) == 8);

// Every walk reaches a leaf after at least `shallowest` and at most `deepest` steps.
struct WalkLimits {
  int32_t shallowest = std::numeric_limits<int32_t>::max();
  int32_t deepest = 0;

  void include(const WalkLimits& other) {
    shallowest = std::min(shallowest, other.shallowest);
    deepest = std::max(deepest, other.deepest);
  }
};

// Advances kWalks walks until all are at leaves. at[walk] is the index of the node where a walk is.
// A walk compares numbers[(feature << shift) + bases[walk]].
using Walk = void (*)(const SmallNode* nodes, const float* numbers, int32_t shift,
                      const int32_t* bases, WalkLimits limits, int32_t* at);

// ---- Ranks; see row_encoding.cpp ----

// The sorted thresholds of a column as a search tree. Rounding to float is monotonic, so most
// comparisons need only the rounded thresholds (`keys`): if two keys differ, the numbers compare as
// the keys do. A node has kFanout - 1 keys and an infinity. Key j separates its children j and
// j + 1.
constexpr size_t kFanout = 16;
constexpr size_t kMaxRankLevels = 6;
constexpr size_t kMaxRanks = size_t{1} << 24;  // kFanout to the power of kMaxRankLevels
struct RankTable {
  const float* keys;         // kFanout for each node, level by level from the root downwards
  const double* thresholds;  // with an infinity at the end
  uint32_t size;             // thresholds without the infinity
  uint32_t num_levels;
  uint32_t level_begins[kMaxRankLevels];  // the number of the first node of a level
};

// Writes the number of thresholds of tables[i * table_step] that are less than x[i], for each of
// `count` numbers. It is 0 for NaN.
using Rank = void (*)(const RankTable* tables, size_t table_step, const double* x, size_t count,
                      int32_t* ranks);

// The same for numbers of one column of a block: x[i * stride], with i < count. Writes the ranks as
// floats, and NaN for NaN. Returns whether any of the numbers is NaN.
using RankColumn = bool (*)(const RankTable& table, const double* x, int64_t stride, int64_t count,
                            float* out);

// The end of a search: `rank` is the number of thresholds whose keys are less than that of x.
inline int32_t exact_rank(const RankTable& table, size_t rank, double x) {
  const double* const at = table.thresholds + rank;
  if (!(*at < x)) return static_cast<int32_t>(rank);
  // The keys of this threshold and of x are equal, and perhaps those of more thresholds.
  const double* const end = table.thresholds + table.size;
  return static_cast<int32_t>(std::lower_bound(at, end, x) - table.thresholds);
}

// Ranks as floats, and NaN for NaN. Returns whether any of the numbers is NaN.
inline bool encode_ranks(const double* x, const int32_t* ranks, size_t count, float* out) {
  int32_t nans = 0;
  for (size_t i = 0; i < count; ++i) {
    nans |= static_cast<int32_t>(x[i] != x[i]);
    const auto rank = static_cast<float>(ranks[i]);
    out[i] = x[i] != x[i] ? std::numeric_limits<float>::quiet_NaN() : rank;
  }
  return nans != 0;
}

// RankColumn with the function for rows.
template <Rank rank>
bool rank_column_by(const RankTable& table, const double* x, int64_t stride, int64_t count,
                    float* out) {
  double numbers[kBlockRows] = {};
  int32_t ranks[kBlockRows];
  for (int64_t i = 0; i < count; ++i) numbers[i] = x[i * stride];
  rank(&table, 0, numbers, static_cast<size_t>(count), ranks);
  return encode_ranks(numbers, ranks, static_cast<size_t>(count), out);
}

// ---- Sums; see weights.cpp ----

// Adds values[leaves[tree][i]] to totals[i] for each of kBlockRows rows, one tree after the other.
template <typename Sum>
using AddValues = void (*)(const Sum* values, const int32_t* leaves, size_t num_trees, Sum* totals);

// ---- All ----

// Kernels come in pairs: kernel[1] heeds the rules for NaN, kernel[0] is for numbers without NaN.
struct Kernels {
  LeafSetKernels<1> leaf_sets[2];
  LeafSetKernels<2> wide_leaf_sets[2];
  // For a single row, a walk is quicker in trees that have more leaves than this.
  size_t most_leaves_of_short_row;
  size_t most_leaves_of_long_row;
  Walk walk[2];  // nullptr: walks.cpp has a loop without vectors
  Rank rank;
  RankColumn rank_column;
  AddValues<float> add_floats;
  AddValues<double> add_doubles;
};

const Kernels& plain_kernels();
#if defined(__x86_64__)
const Kernels& avx2_kernels();
const Kernels& avx512_kernels();
#elif defined(__aarch64__)
const Kernels& neon_kernels();
#endif

// The kernels for these vector instructions, which the processor must have.
const Kernels& kernels_of(Vectors vectors);

}  // namespace sidecall::native
