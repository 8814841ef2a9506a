// The kernels with AVX2. Walks and sums do not gain from its gathers, which take as long as single
// loads, or much longer on processors with a mitigation of "Gather Data Sampling".
#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels.h"

#define SIDECALL_AVX2 __attribute__((target("avx2,popcnt")))

namespace sidecall::native {
namespace {

constexpr size_t kWidth = 8;  // lanes of a register
static_assert(kLanes == 2 * kWidth && kBlockRows == 2 * kWidth);

SIDECALL_AVX2 inline __m256i load(const void* from) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}

SIDECALL_AVX2 inline void store(void* to, __m256i numbers) {
  _mm256_storeu_si256(static_cast<__m256i*>(to), numbers);
}

// ---- Leaf sets ----

// The position of the lowest bit of each lane that has a bit: the exponent of this bit as a float.
// The bit 31 becomes a negative float with the right exponent.
SIDECALL_AVX2 inline __m256i first_set(__m256i bits) {
  const __m256i lowest = _mm256_and_si256(bits, _mm256_sub_epi32(_mm256_setzero_si256(), bits));
  const __m256i number = _mm256_castps_si256(_mm256_cvtepi32_ps(lowest));
  const __m256i exponent = _mm256_and_si256(_mm256_srli_epi32(number, 23), _mm256_set1_epi32(0xff));
  return _mm256_sub_epi32(exponent, _mm256_set1_epi32(127));
}

template <size_t kWords>
SIDECALL_AVX2 inline __m256i first_leaf(const __m256i* left) {
  const __m256i first = first_set(left[0]);
  if (kWords == 1) return first;
  const __m256i is_empty = _mm256_cmpeq_epi32(left[0], _mm256_setzero_si256());
  const __m256i second =
      _mm256_add_epi32(first_set(left[kWords - 1]), _mm256_set1_epi32(kWordBits));
  return _mm256_blendv_epi8(first, second, is_empty);
}

// Whether rows take `no`, as a mask; true for NaN, too.
SIDECALL_AVX2 inline __m256i takes_no(__m256 x, __m256 threshold) {
  return _mm256_castps_si256(_mm256_cmp_ps(x, threshold, _CMP_NLE_UQ));
}

// Removes leaves from the lanes that `no` selects.
SIDECALL_AVX2 inline void remove(__m256i no, __m256i removes, __m256i* left) {
  *left = _mm256_andnot_si256(_mm256_and_si256(no, removes), *left);
}

template <size_t kWords, bool kNanRules>
SIDECALL_AVX2 void find_block(const LeafSetBlocks<kWords>& tables, const float* columns,
                              size_t begin, size_t end, int32_t* leaves) {
  const SplitSet<kWords>* split = tables.splits.data() + tables.split_begins[begin];
  for (size_t tree = begin; tree < end; ++tree, leaves += kBlockRows) {
    const SplitSet<kWords>* const last = tables.splits.data() + tables.split_begins[tree + 1];
    __m256i left0[kWords], left1[kWords];
    for (size_t word = 0; word < kWords; ++word) left0[word] = left1[word] = _mm256_set1_epi32(-1);
    for (; split != last; ++split) {
      const __m256 x0 = _mm256_loadu_ps(columns + split->column);
      const __m256 x1 = _mm256_loadu_ps(columns + split->column + kWidth);
      const __m256 threshold = _mm256_set1_ps(split->threshold);
      __m256i no0 = takes_no(x0, threshold);
      __m256i no1 = takes_no(x1, threshold);
      if (kNanRules && split->nan_is_yes) {
        no0 = _mm256_and_si256(no0, _mm256_castps_si256(_mm256_cmp_ps(x0, x0, _CMP_ORD_Q)));
        no1 = _mm256_and_si256(no1, _mm256_castps_si256(_mm256_cmp_ps(x1, x1, _CMP_ORD_Q)));
      }
      for (size_t word = 0; word < kWords; ++word) {
        const __m256i removes = _mm256_set1_epi32(static_cast<int32_t>(split->removes[word]));
        remove(no0, removes, &left0[word]);
        remove(no1, removes, &left1[word]);
      }
    }
    const __m256i first = _mm256_set1_epi32(tables.first_leaves[tree]);
    store(leaves, _mm256_add_epi32(first_leaf<kWords>(left0), first));
    store(leaves + kWidth, _mm256_add_epi32(first_leaf<kWords>(left1), first));
  }
}

// Removes the leaves that x excludes, for half of the trees of a slot.
template <bool kNanRules>
SIDECALL_AVX2 inline void exclude(const LeafSetRows<1>& tables, size_t slot, size_t lane, __m256 x,
                                  __m256i* left) {
  const SplitSlot<1>& splits = tables.slots[slot];
  __m256i no = takes_no(x, _mm256_load_ps(splits.thresholds + lane));
  if (kNanRules) {
    // A lane with a rule has its bit of nan_rules.
    const __m256i bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const auto rules = static_cast<int32_t>(tables.nan_rules[slot] >> lane);
    const __m256i has_rule =
        _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(rules), bits), bits);
    const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    no = _mm256_andnot_si256(_mm256_and_si256(is_nan, has_rule), no);
  }
  remove(no, load(splits.removes[0] + lane), left);
}

// Loads the eight numbers of a row from `begin` on. Those after the end of the row are 0.
SIDECALL_AVX2 inline __m256 load_part(const float* row, int32_t begin, int32_t size) {
  const __m256i places = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i exists = _mm256_cmpgt_epi32(_mm256_set1_epi32(size - begin), places);
  return _mm256_maskload_ps(row + begin, exists);
}

// Selects from 32 numbers in four registers. The bits 3 and 4 of a feature choose the register: a
// blend looks at the sign bit, to which they are shifted.
SIDECALL_AVX2 inline __m256 select(const __m256* row, __m256i features) {
  const __m256 bit3 = _mm256_castsi256_ps(_mm256_slli_epi32(features, 28));
  const __m256 bit4 = _mm256_castsi256_ps(_mm256_slli_epi32(features, 27));
  const __m256 low = _mm256_blendv_ps(_mm256_permutevar8x32_ps(row[0], features),
                                      _mm256_permutevar8x32_ps(row[1], features), bit3);
  const __m256 high = _mm256_blendv_ps(_mm256_permutevar8x32_ps(row[2], features),
                                       _mm256_permutevar8x32_ps(row[3], features), bit3);
  return _mm256_blendv_ps(low, high, bit4);
}

// The row is in four registers.
template <bool kNanRules>
SIDECALL_AVX2 void find_short_row(const LeafSetRows<1>& tables, const float* numbers, size_t begin,
                                  size_t end, int32_t* leaves) {
  static_assert(kShortRow == 4 * kWidth);
  __m256 row[4];
  for (int32_t i = 0; i < 4; ++i) row[i] = load_part(numbers, 8 * i, tables.num_features);
  for (size_t group = begin; group < end; ++group, leaves += kLanes) {
    __m256i left0 = _mm256_set1_epi32(-1), left1 = left0;
    const size_t last = tables.slot_begins[group + 1];
    for (size_t slot = tables.slot_begins[group]; slot < last; slot += kSlotsAtOnce) {
      const uint32_t* lanes = tables.features[slot / kSlotsAtOnce].lanes;
      __m256i features0 = load(lanes), features1 = load(lanes + kWidth);
      for (size_t i = 0; i < kSlotsAtOnce; ++i) {
        exclude<kNanRules>(tables, slot + i, 0, select(row, features0), &left0);
        exclude<kNanRules>(tables, slot + i, kWidth, select(row, features1), &left1);
        features0 = _mm256_srli_epi32(features0, 8);
        features1 = _mm256_srli_epi32(features1, 8);
      }
    }
    const int32_t* first = tables.first_leaves.data() + group * kLanes;
    store(leaves, _mm256_add_epi32(first_leaf<1>(&left0), load(first)));
    store(leaves + kWidth, _mm256_add_epi32(first_leaf<1>(&left1), load(first + kWidth)));
  }
}

// ---- Ranks ----

// The number of keys of a node that are less than `key`.
SIDECALL_AVX2 inline size_t count_below(const float* keys, float key) {
  static_assert(kFanout == 2 * kWidth);
  const __m256 key8 = _mm256_set1_ps(key);
  const __m256 below0 = _mm256_cmp_ps(_mm256_loadu_ps(keys), key8, _CMP_LT_OQ);
  const __m256 below1 = _mm256_cmp_ps(_mm256_loadu_ps(keys + kWidth), key8, _CMP_LT_OQ);
  const int below = _mm256_movemask_ps(below0) | _mm256_movemask_ps(below1) << kWidth;
  return static_cast<size_t>(__builtin_popcount(static_cast<uint32_t>(below)));
}

// The rank of x. kLevels: the number of levels of the table, or 0 if it is not known.
template <uint32_t kLevels>
SIDECALL_AVX2 inline int32_t rank_one(const RankTable& table, double x) {
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
SIDECALL_AVX2 void rank_column(const RankTable& table, const double* x, size_t count,
                               int32_t* ranks) {
  const RankTable copy = table;  // which no store to `ranks` can change
  for (size_t i = 0; i < count; ++i) ranks[i] = rank_one<kLevels>(copy, x[i]);
}

SIDECALL_AVX2 void rank(const RankTable* tables, size_t table_step, const double* x, size_t count,
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

}  // namespace

const Kernels& avx2_kernels() {
  static const Kernels kernels = [] {
    Kernels all = plain_kernels();
    all.leaf_sets[0] = {find_block<1, false>, find_short_row<false>, nullptr};
    all.leaf_sets[1] = {find_block<1, true>, find_short_row<true>, nullptr};
    all.wide_leaf_sets[0] = {find_block<2, false>, nullptr, nullptr};
    all.wide_leaf_sets[1] = {find_block<2, true>, nullptr, nullptr};
    all.most_leaves_of_short_row = 16;
    all.rank = rank;
    all.rank_column = rank_column_by<rank>;
    return all;
  }();
  return kernels;
}

}  // namespace sidecall::native

#endif
