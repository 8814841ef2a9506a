// Adds the weights of leaves, in the form that suits the ensemble; see weights.h.
#include "weights.h"

#include <algorithm>
#include <type_traits>

namespace sidecall::native {
namespace {

template <typename Predicate>
bool all_leaves(const OrderedTrees& trees, Predicate predicate) {
  const Weight* weights = trees.weights().data();
  const std::vector<int32_t>& begins = trees.leaf_begins();
  for (size_t leaf = 0; leaf < trees.num_leaves(); ++leaf) {
    if (!predicate(weights + begins[leaf], weights + begins[leaf + 1])) return false;
  }
  return true;
}

template <typename Sum>
AddValues<Sum> add_values_of(Vectors vectors) {
  if constexpr (std::is_same_v<Sum, float>) return kernels_of(vectors).add_floats;
  else return kernels_of(vectors).add_doubles;
}

}  // namespace

template <typename Sum>
LeafWeights<Sum>::LeafWeights(const OrderedTrees& trees, int32_t num_targets, Aggregate aggregate,
                              Vectors vectors)
    : num_targets_(num_targets), aggregate_(aggregate), add_values_(add_values_of<Sum>(vectors)) {
  if (!trees.weights().empty()) single_target_ = trees.weights().front().target;
  const bool is_single = all_leaves(trees, [&](const Weight* begin, const Weight* end) {
    return end - begin == 1 && begin->target == single_target_;
  });
  const bool is_dense = all_leaves(trees, [&](const Weight* begin, const Weight* end) {
    if (end - begin != num_targets_) return false;
    for (int32_t t = 0; t < num_targets_; ++t) {
      if (begin[t].target != t) return false;
    }
    return true;
  });
  const bool adds = aggregate != Aggregate::kMin && aggregate != Aggregate::kMax;
  if (adds && is_single) form_ = Form::kSingle;
  else if (adds && is_dense) form_ = Form::kDense;
  values_.reserve(trees.weights().size());
  for (const Weight& weight : trees.weights()) values_.push_back(static_cast<Sum>(weight.value));
  if (form_ != Form::kSparse) return;
  begins_ = trees.leaf_begins();
  for (const Weight& weight : trees.weights()) targets_.push_back(weight.target);
}

// A number of targets that the compiler knows makes the loop over them quicker.
template <typename Sum>
template <typename Visit>
void LeafWeights<Sum>::with_add(Visit visit) const {
  const auto add_dense = [this](auto num_targets) {
    return [values = values_.data(), num_targets](int32_t leaf, Sum* sums) {
      const Sum* from = values + static_cast<size_t>(leaf) * static_cast<size_t>(num_targets);
      for (int32_t t = 0; t < num_targets; ++t) sums[t] += from[t];
    };
  };
  // combine(sum, value) for each weight of a leaf.
  const auto add_sparse = [this](auto combine) {
    return [this, combine](int32_t leaf, Sum* sums) {
      const int32_t end = begins_[static_cast<size_t>(leaf) + 1];
      for (int32_t w = begins_[static_cast<size_t>(leaf)]; w < end; ++w)
        combine(sums + targets_[static_cast<size_t>(w)], values_[static_cast<size_t>(w)]);
    };
  };
  if (aggregate_ == Aggregate::kMin) {
    visit(add_sparse([](Sum* sum, Sum value) { *sum = value < *sum ? value : *sum; }));
  } else if (aggregate_ == Aggregate::kMax) {
    visit(add_sparse([](Sum* sum, Sum value) { *sum = *sum < value ? value : *sum; }));
  } else if (form_ == Form::kSparse) {
    visit(add_sparse([](Sum* sum, Sum value) { *sum += value; }));
  } else if (num_targets_ == 2) {
    visit(add_dense(std::integral_constant<int32_t, 2>()));
  } else if (num_targets_ == 3) {
    visit(add_dense(std::integral_constant<int32_t, 3>()));
  } else {
    visit(add_dense(num_targets_));
  }
}

template <typename Sum>
void LeafWeights<Sum>::add_row(const int32_t* leaves, size_t num_trees, Sum* sums) const {
  if (form_ == Form::kSingle) {
    Sum sum = sums[single_target_];
    for (size_t tree = 0; tree < num_trees; ++tree)
      sum += values_[static_cast<size_t>(leaves[tree])];
    sums[single_target_] = sum;
    return;
  }
  with_add([&](auto add) {
    for (size_t tree = 0; tree < num_trees; ++tree) add(leaves[tree], sums);
  });
}

template <typename Sum>
void LeafWeights<Sum>::add_block(const int32_t* leaves, size_t num_trees, int64_t count,
                                 Sum* sums) const {
  if (form_ == Form::kSingle) {
    Sum totals[kBlockRows] = {};
    for (int64_t i = 0; i < count; ++i) totals[i] = sums[i * num_targets_ + single_target_];
    add_values_(values_.data(), leaves, num_trees, totals);
    for (int64_t i = 0; i < count; ++i) sums[i * num_targets_ + single_target_] = totals[i];
    return;
  }
  with_add([&](auto add) {
    for (size_t tree = 0; tree < num_trees; ++tree, leaves += kBlockRows) {
      for (int64_t i = 0; i < count; ++i) add(leaves[i], sums + i * num_targets_);
    }
  });
}

template class LeafWeights<float>;
template class LeafWeights<double>;

}  // namespace sidecall::native
