// The kernels without explicit vector instructions, and the choice between all kernels.
#include "kernels.h"

namespace sidecall::native {
namespace {

void rank(const RankTable* tables, size_t table_step, const double* x, size_t count,
          int32_t* ranks) {
  for (size_t i = 0; i < count; ++i) {
    const RankTable& table = tables[i * table_step];
    const auto key = static_cast<float>(x[i]);
    size_t node = 0;
    for (uint32_t level = 0; level < table.num_levels; ++level) {
      const float* keys = table.keys + (table.level_begins[level] + node) * kFanout;
      int32_t below = 0;
      for (size_t j = 0; j < kFanout; ++j) below += keys[j] < key ? 1 : 0;
      node = node * kFanout + static_cast<size_t>(below);
    }
    ranks[i] = exact_rank(table, node, x[i]);
  }
}

template <typename Sum>
void add_values(const Sum* values, const int32_t* leaves, size_t num_trees, Sum* totals) {
  for (size_t tree = 0; tree < num_trees; ++tree, leaves += kBlockRows) {
    for (int64_t i = 0; i < kBlockRows; ++i) totals[i] += values[static_cast<size_t>(leaves[i])];
  }
}

}  // namespace

const Kernels& plain_kernels() {
  static const Kernels kernels = [] {
    Kernels all = {};
    all.rank = rank;
    all.rank_column = rank_column_by<rank>;
    all.add_floats = add_values<float>;
    all.add_doubles = add_values<double>;
    return all;
  }();
  return kernels;
}

const Kernels& kernels_of(Vectors vectors) {
  switch (vectors) {
#if defined(__x86_64__)
    case Vectors::kAvx512:
      return avx512_kernels();
    case Vectors::kAvx2:
      return avx2_kernels();
#elif defined(__aarch64__)
    case Vectors::kNeon:
      return neon_kernels();
#endif
    default:
      return plain_kernels();
  }
}

}  // namespace sidecall::native
