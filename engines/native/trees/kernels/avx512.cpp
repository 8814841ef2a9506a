// The kernels with AVX-512.
#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels.h"

#define SIDECALL_AVX512 \
  __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx512cd,popcnt")))

namespace sidecall::native {
namespace {

static_assert(kLanes == 16 && kBlockRows == 16);

// ---- Leaf sets ----

// The position of the lowest bit of each lane, -1 for a lane without bits.
SIDECALL_AVX512 inline __m512i first_set(__m512i bits) {
  const __m512i lowest = _mm512_and_si512(bits, _mm512_sub_epi32(_mm512_setzero_si512(), bits));
  return _mm512_sub_epi32(_mm512_set1_epi32(31), _mm512_lzcnt_epi32(lowest));
}

template <size_t kWords>
SIDECALL_AVX512 inline __m512i first_leaf(const __m512i* left) {
  const __m512i first = first_set(left[0]);
  if (kWords == 1) return first;
  const __mmask16 is_empty = _mm512_testn_epi32_mask(left[0], left[0]);
  return _mm512_mask_add_epi32(first, is_empty, first_set(left[kWords - 1]),
                               _mm512_set1_epi32(kWordBits));
}

template <size_t kWords, bool kNanRules>
SIDECALL_AVX512 void find_block(const LeafSetBlocks<kWords>& tables, const float* columns,
                                size_t begin, size_t end, int32_t* leaves) {
  const SplitSet<kWords>* split = tables.splits.data() + tables.split_begins[begin];
  for (size_t tree = begin; tree < end; ++tree, leaves += kBlockRows) {
    const SplitSet<kWords>* const last = tables.splits.data() + tables.split_begins[tree + 1];
    __m512i left[kWords];
    for (__m512i& word : left) word = _mm512_set1_epi32(-1);
    for (; split != last; ++split) {
      const __m512 x = _mm512_loadu_ps(columns + split->column);
      // True for NaN, too.
      __mmask16 no = _mm512_cmp_ps_mask(x, _mm512_set1_ps(split->threshold), _CMP_NLE_UQ);
      if (kNanRules && split->nan_is_yes)
        no = static_cast<__mmask16>(no & _mm512_cmp_ps_mask(x, x, _CMP_ORD_Q));
      for (size_t word = 0; word < kWords; ++word) {
        const auto removes = static_cast<int32_t>(split->removes[word]);
        left[word] = _mm512_andnot_si512(_mm512_maskz_set1_epi32(no, removes), left[word]);
      }
    }
    const __m512i first = _mm512_set1_epi32(tables.first_leaves[tree]);
    _mm512_storeu_si512(leaves, _mm512_add_epi32(first_leaf<kWords>(left), first));
  }
}

// Removes the leaves that x excludes.
template <size_t kWords, bool kNanRules>
SIDECALL_AVX512 inline void exclude(const LeafSetRows<kWords>& tables, size_t slot, __m512 x,
                                    __m512i* left) {
  const SplitSlot<kWords>& splits = tables.slots[slot];
  __mmask16 no = _mm512_cmp_ps_mask(x, _mm512_load_ps(splits.thresholds), _CMP_NLE_UQ);
  if (kNanRules) {
    const auto rules = static_cast<__mmask16>(tables.nan_rules[slot]);
    no = static_cast<__mmask16>(no & ~_mm512_mask_cmp_ps_mask(rules, x, x, _CMP_UNORD_Q));
  }
  for (size_t word = 0; word < kWords; ++word) {
    const __m512i removes = _mm512_maskz_load_epi32(no, splits.removes[word]);
    left[word] = _mm512_andnot_si512(removes, left[word]);
  }
}

template <size_t kWords>
SIDECALL_AVX512 inline void store_leaves(const LeafSetRows<kWords>& tables, size_t group,
                                         const __m512i* left, int32_t* leaves) {
  const __m512i first = _mm512_loadu_si512(tables.first_leaves.data() + group * kLanes);
  _mm512_storeu_si512(leaves, _mm512_add_epi32(first_leaf<kWords>(left), first));
}

// The row is in two registers.
template <size_t kWords, bool kNanRules>
SIDECALL_AVX512 void find_short_row(const LeafSetRows<kWords>& tables, const float* row,
                                    size_t begin, size_t end, int32_t* leaves) {
  static_assert(kShortRow == 32);
  const auto mask = [](int32_t count) {
    return static_cast<__mmask16>(count >= 16 ? 0xffff : count <= 0 ? 0 : (1 << count) - 1);
  };
  const __m512 low = _mm512_maskz_loadu_ps(mask(tables.num_features), row);
  const __m512 high = _mm512_maskz_loadu_ps(mask(tables.num_features - 16), row + 16);
  for (size_t group = begin; group < end; ++group, leaves += kLanes) {
    __m512i left[kWords];
    for (__m512i& word : left) word = _mm512_set1_epi32(-1);
    const size_t last = tables.slot_begins[group + 1];
    for (size_t slot = tables.slot_begins[group]; slot < last; slot += kSlotsAtOnce) {
      __m512i features = _mm512_load_si512(tables.features[slot / kSlotsAtOnce].lanes);
      for (size_t i = 0; i < kSlotsAtOnce; ++i) {
        // A permutation ignores the upper bits of a lane.
        const __m512 x = _mm512_permutex2var_ps(low, features, high);
        exclude<kWords, kNanRules>(tables, slot + i, x, left);
        features = _mm512_srli_epi32(features, 8);
      }
    }
    store_leaves<kWords>(tables, group, left, leaves);
  }
}

template <size_t kWords, bool kNanRules>
SIDECALL_AVX512 void find_long_row(const LeafSetRows<kWords>& tables, const float* row,
                                   size_t begin, size_t end, int32_t* leaves) {
  for (size_t group = begin; group < end; ++group, leaves += kLanes) {
    __m512i left[kWords];
    for (__m512i& word : left) word = _mm512_set1_epi32(-1);
    const size_t last = tables.slot_begins[group + 1];
    for (size_t slot = tables.slot_begins[group]; slot < last; ++slot) {
      const __m512i features = _mm512_load_si512(tables.features[slot].lanes);
      exclude<kWords, kNanRules>(tables, slot, _mm512_i32gather_ps(features, row, 4), left);
    }
    store_leaves<kWords>(tables, group, left, leaves);
  }
}

template <size_t kWords, bool kNanRules>
constexpr LeafSetKernels<kWords> kLeafSets = {find_block<kWords, kNanRules>,
                                              find_short_row<kWords, kNanRules>,
                                              find_long_row<kWords, kNanRules>};

// ---- Walks ----

// Advances 16 walks by one step. Returns WalkNode::step of their nodes, which are all 0 when every
// walk is at a leaf.
template <bool kNanRules>
SIDECALL_AVX512 inline __m512i step(const SmallNode* nodes, const float* numbers, int32_t shift,
                                    __m512i bases, __m512i* at) {
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
SIDECALL_AVX512 void walk(const SmallNode* nodes, const float* numbers, int32_t shift,
                          const int32_t* bases, WalkLimits limits, int32_t* at) {
  static_assert(kWalks == 32);
  const __m512i bases0 = _mm512_loadu_si512(bases);
  const __m512i bases1 = _mm512_loadu_si512(bases + 16);
  __m512i at0 = _mm512_loadu_si512(at);
  __m512i at1 = _mm512_loadu_si512(at + 16);
  for (int32_t depth = 0; depth < limits.deepest; ++depth) {
    const __m512i steps0 = step<kNanRules>(nodes, numbers, shift, bases0, &at0);
    const __m512i steps1 = step<kNanRules>(nodes, numbers, shift, bases1, &at1);
    const __m512i steps = _mm512_or_si512(steps0, steps1);
    if (depth >= limits.shallowest && _mm512_test_epi32_mask(steps, steps) == 0) break;
  }
  _mm512_storeu_si512(at, at0);
  _mm512_storeu_si512(at + 16, at1);
}

// ---- Ranks and sums ----

// The number of keys of a node that are less than `key`.
SIDECALL_AVX512 inline size_t count_below(const float* keys, float key) {
  static_assert(kFanout == 16);
  const __mmask16 is_below =
      _mm512_cmp_ps_mask(_mm512_loadu_ps(keys), _mm512_set1_ps(key), _CMP_LT_OQ);
  return static_cast<size_t>(__builtin_popcount(is_below));
}

// The rank of x. kLevels: the number of levels of the table, or 0 if it is not known.
template <uint32_t kLevels>
SIDECALL_AVX512 inline int32_t rank_one(const RankTable& table, double x) {
  const auto key = static_cast<float>(x);
  const uint32_t num_levels = kLevels != 0 ? kLevels : table.num_levels;
  size_t node = 0;
  for (uint32_t level = 0; level < num_levels; ++level) {
    const float* keys = table.keys + (table.level_begins[level] + node) * kFanout;
    node = node * kFanout + count_below(keys, key);
  }
  return exact_rank(table, node, x);
}

template <uint32_t kLevels>
SIDECALL_AVX512 void rank_column(const RankTable& table, const double* x, size_t count,
                                 int32_t* ranks) {
  const RankTable copy = table;  // which no store to `ranks` can change
  for (size_t i = 0; i < count; ++i) ranks[i] = rank_one<kLevels>(copy, x[i]);
}

SIDECALL_AVX512 void rank(const RankTable* tables, size_t table_step, const double* x, size_t count,
                          int32_t* ranks) {
  if (table_step == 0) {
    const auto rank_all = tables->num_levels == 1   ? rank_column<1>
                          : tables->num_levels == 2 ? rank_column<2>
                                                    : rank_column<0>;
    rank_all(*tables, x, count, ranks);
    return;
  }
  for (size_t i = 0; i < count; ++i) {
    const RankTable& table = tables[i * table_step];
    ranks[i] = table.num_levels == 2 ? rank_one<2>(table, x[i]) : rank_one<0>(table, x[i]);
  }
}

// Counts the thresholds below each of 16 numbers, in two registers.
SIDECALL_AVX512 inline __m512 count_all_below(const RankTable& table, __m512d low, __m512d high) {
  const __m512i one = _mm512_set1_epi64(1);
  __m512i ranks_low = _mm512_setzero_si512(), ranks_high = ranks_low;
  for (uint32_t i = 0; i < table.size; ++i) {
    const __m512d threshold = _mm512_set1_pd(table.thresholds[i]);
    const __mmask8 below_low = _mm512_cmp_pd_mask(threshold, low, _CMP_LT_OQ);
    const __mmask8 below_high = _mm512_cmp_pd_mask(threshold, high, _CMP_LT_OQ);
    ranks_low = _mm512_mask_add_epi64(ranks_low, below_low, ranks_low, one);
    ranks_high = _mm512_mask_add_epi64(ranks_high, below_high, ranks_high, one);
  }
  const __m256i both[] = {_mm512_cvtepi64_epi32(ranks_low), _mm512_cvtepi64_epi32(ranks_high)};
  return _mm512_cvtepi32_ps(_mm512_inserti64x4(_mm512_castsi256_si512(both[0]), both[1], 1));
}

// With few thresholds, it is quicker to compare all of them with 16 numbers at once.
SIDECALL_AVX512 bool rank_block_column(const RankTable& table, const double* x, int64_t stride,
                                       int64_t count, float* out) {
  constexpr uint32_t kMostCompared = 64;
  static_assert(kBlockRows == 16);
  if (table.size > kMostCompared) return rank_column_by<rank>(table, x, stride, count, out);
  const auto exists = static_cast<__mmask16>((1U << count) - 1);
  const __m512i places = _mm512_setr_epi64(0, stride, 2 * stride, 3 * stride, 4 * stride,
                                           5 * stride, 6 * stride, 7 * stride);
  const __m512d zero = _mm512_setzero_pd();
  const __m512d low = _mm512_mask_i64gather_pd(zero, static_cast<__mmask8>(exists), places, x, 8);
  const __m512d high =
      _mm512_mask_i64gather_pd(zero, static_cast<__mmask8>(exists >> 8), places, x + 8 * stride, 8);
  const __mmask8 nan_low = _mm512_cmp_pd_mask(low, low, _CMP_UNORD_Q);
  const __mmask8 nan_high = _mm512_cmp_pd_mask(high, high, _CMP_UNORD_Q);
  const auto is_nan = static_cast<__mmask16>(nan_low | nan_high << 8);
  const __m512 nan = _mm512_set1_ps(std::numeric_limits<float>::quiet_NaN());
  _mm512_storeu_ps(out, _mm512_mask_mov_ps(count_all_below(table, low, high), is_nan, nan));
  return is_nan != 0;
}

SIDECALL_AVX512 void add_floats(const float* values, const int32_t* leaves, size_t num_trees,
                                float* totals) {
  __m512 sums = _mm512_loadu_ps(totals);
  for (size_t tree = 0; tree < num_trees; ++tree, leaves += kBlockRows)
    sums = _mm512_add_ps(sums, _mm512_i32gather_ps(_mm512_loadu_si512(leaves), values, 4));
  _mm512_storeu_ps(totals, sums);
}

SIDECALL_AVX512 void add_doubles(const double* values, const int32_t* leaves, size_t num_trees,
                                 double* totals) {
  __m512d low = _mm512_loadu_pd(totals);
  __m512d high = _mm512_loadu_pd(totals + 8);
  for (size_t tree = 0; tree < num_trees; ++tree, leaves += kBlockRows) {
    const __m512i at = _mm512_loadu_si512(leaves);
    low = _mm512_add_pd(low, _mm512_i32gather_pd(_mm512_castsi512_si256(at), values, 8));
    high = _mm512_add_pd(high, _mm512_i32gather_pd(_mm512_extracti64x4_epi64(at, 1), values, 8));
  }
  _mm512_storeu_pd(totals, low);
  _mm512_storeu_pd(totals + 8, high);
}

}  // namespace

const Kernels& avx512_kernels() {
  static constexpr Kernels kernels = {{kLeafSets<1, false>, kLeafSets<1, true>},
                                      {kLeafSets<2, false>, kLeafSets<2, true>},
                                      64,  // most_leaves_of_short_row
                                      16,  // most_leaves_of_long_row
                                      {walk<false>, walk<true>},
                                      rank,
                                      rank_block_column,
                                      add_floats,
                                      add_doubles};
  return kernels;
}

}  // namespace sidecall::native

#endif
