// Chooses the form in which the weights of leaves are stored; see weights.h.
#include "weights.h"

namespace sidecall::native {
namespace {

template <typename Predicate>
bool all_leaves(const std::vector<Tree>& trees, Predicate predicate) {
  for (const Tree& tree : trees) {
    for (size_t leaf = 0; leaf + 1 < tree.leaf_begins.size(); ++leaf) {
      if (!predicate(tree.weights.data() + tree.leaf_begins[leaf],
                     tree.weights.data() + tree.leaf_begins[leaf + 1]))
        return false;
    }
  }
  return true;
}

}  // namespace

template <typename Sum>
LeafWeights<Sum>::LeafWeights(const std::vector<Tree>& trees, int32_t num_targets)
    : num_targets_(num_targets) {
  if (!trees.front().weights.empty()) single_target_ = trees.front().weights.front().target;
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
  if (is_single) {
    form_ = Form::kSingle;
  } else if (is_dense) {
    form_ = Form::kDense;
  }
  for (const Tree& tree : trees) {
    for (size_t leaf = 0; leaf + 1 < tree.leaf_begins.size(); ++leaf) {
      begins_.push_back(static_cast<int32_t>(values_.size()));
      for (int32_t w = tree.leaf_begins[leaf]; w < tree.leaf_begins[leaf + 1]; ++w) {
        values_.push_back(static_cast<Sum>(tree.weights[static_cast<size_t>(w)].value));
        targets_.push_back(tree.weights[static_cast<size_t>(w)].target);
      }
    }
  }
  begins_.push_back(static_cast<int32_t>(values_.size()));
}

template class LeafWeights<float>;
template class LeafWeights<double>;

}  // namespace sidecall::native
