// The kernels with NEON. It has no gather, so a single row, walks and sums do not gain from it.
#if defined(__aarch64__)

#include <arm_neon.h>

#include "kernels.h"

namespace sidecall::native {
namespace {

constexpr size_t kWidth = 4;  // lanes of a register
constexpr size_t kParts = 4;  // registers for a block
static_assert(kBlockRows == kParts * kWidth);

// ---- Leaf sets ----

// The position of the lowest bit of each lane, 32 for a lane without bits.
inline uint32x4_t first_set(uint32x4_t bits) {
  const uint8x16_t reversed = vrbitq_u8(vreinterpretq_u8_u32(bits));
  return vclzq_u32(vreinterpretq_u32_u8(vrev32q_u8(reversed)));
}

template <size_t kWords>
inline uint32x4_t first_leaf(const uint32x4_t (*left)[kParts], size_t part) {
  const uint32x4_t first = first_set(left[0][part]);
  if (kWords == 1) return first;
  const uint32x4_t second = vaddq_u32(first_set(left[kWords - 1][part]), vdupq_n_u32(kWordBits));
  return vbslq_u32(vceqzq_u32(left[0][part]), second, first);
}

template <size_t kWords>
inline void keep_all(uint32x4_t (*left)[kParts]) {
  for (size_t word = 0; word < kWords; ++word) {
    for (size_t part = 0; part < kParts; ++part) left[word][part] = vdupq_n_u32(UINT32_MAX);
  }
}

template <size_t kWords, bool kNanRules>
void find_block(const LeafSetBlocks<kWords>& tables, const float* columns, size_t begin, size_t end,
                int32_t* leaves) {
  const SplitSet<kWords>* split = tables.splits.data() + tables.split_begins[begin];
  for (size_t tree = begin; tree < end; ++tree, leaves += kBlockRows) {
    const SplitSet<kWords>* const last = tables.splits.data() + tables.split_begins[tree + 1];
    uint32x4_t left[kWords][kParts];
    keep_all<kWords>(left);
    for (; split != last; ++split) {
      const float32x4_t threshold = vdupq_n_f32(split->threshold);
      for (size_t part = 0; part < kParts; ++part) {
        const float32x4_t x = vld1q_f32(columns + split->column + part * kWidth);
        uint32x4_t yes = vcleq_f32(x, threshold);
        if (kNanRules && split->nan_is_yes) yes = vornq_u32(yes, vceqq_f32(x, x));
        for (size_t word = 0; word < kWords; ++word) {
          const uint32x4_t removes = vbicq_u32(vdupq_n_u32(split->removes[word]), yes);
          left[word][part] = vbicq_u32(left[word][part], removes);
        }
      }
    }
    const uint32x4_t first = vdupq_n_u32(static_cast<uint32_t>(tables.first_leaves[tree]));
    for (size_t part = 0; part < kParts; ++part)
      vst1q_s32(leaves + part * kWidth,
                vreinterpretq_s32_u32(vaddq_u32(first_leaf<kWords>(left, part), first)));
  }
}

}  // namespace

const Kernels& neon_kernels() {
  static const Kernels kernels = [] {
    Kernels all = plain_kernels();
    all.leaf_sets[0].find_block = find_block<1, false>;
    all.leaf_sets[1].find_block = find_block<1, true>;
    all.wide_leaf_sets[0].find_block = find_block<2, false>;
    all.wide_leaf_sets[1].find_block = find_block<2, true>;
    return all;
  }();
  return kernels;
}

}  // namespace sidecall::native

#endif
