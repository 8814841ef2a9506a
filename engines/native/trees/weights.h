// The weights of the leaves of a tree ensemble.
#pragma once

#include <cstdint>
#include <vector>

#include "order.h"

namespace sidecall::native {

// Leaves are numbered consecutively through all trees, in breadth-first order within a tree.
template <typename Sum>
class LeafWeights {
 public:
  LeafWeights(const std::vector<Tree>& trees, int32_t num_targets);

  // Every leaf has exactly one weight, and all weights belong to the same target.
  bool is_single() const { return form_ == Form::kSingle; }
  int32_t single_target() const { return single_target_; }
  const Sum* single_values() const { return values_.data(); }

  // Adds the weights of a leaf to the sums of a row.
  void add(int32_t leaf, Sum* sums) const {
    const auto at = static_cast<size_t>(leaf);
    if (form_ == Form::kSingle) {
      sums[single_target_] += values_[at];
      return;
    }
    if (form_ == Form::kDense) {
      const Sum* values = values_.data() + at * static_cast<size_t>(num_targets_);
      for (int32_t t = 0; t < num_targets_; ++t) sums[t] += values[t];
      return;
    }
    for (auto w = static_cast<size_t>(begins_[at]); w < static_cast<size_t>(begins_[at + 1]); ++w)
      sums[targets_[w]] += values_[w];
  }

 private:
  // kSingle: every leaf has one weight, for the same target. kDense: every leaf has one weight for
  // each target. kSparse: all else.
  enum class Form : uint8_t { kSingle, kDense, kSparse };

  const int32_t num_targets_;
  Form form_ = Form::kSparse;
  int32_t single_target_ = 0;
  std::vector<Sum> values_;      // those of a leaf are adjacent
  std::vector<int32_t> begins_;  // by leaf: its first index in values_ and targets_
  std::vector<int32_t> targets_;
};

}  // namespace sidecall::native
