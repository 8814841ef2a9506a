// Runs tree ensembles; see forest.h.
#include "forest.h"

#include <algorithm>

namespace sidecall::native {
namespace {

constexpr int64_t kBlockRows = LeafFinder::kBlockRows;

}  // namespace

template <typename Number>
Forest<Number>::Forest(const Node& node, Ensemble ensemble) : Forest(node, &ensemble) {}

template <typename Number>
Forest<Number>::Forest(const Node& node, Ensemble* ensemble)
    : num_targets_(ensemble->num_targets),
      num_features_(ensemble->num_features),
      encoding_(ensemble) {
  const std::vector<Tree> trees = order_trees(*ensemble);
  num_trees_ = trees.size();
  // The encoding has changed the thresholds by now, so the finders compare encoded rows.
  finder_ = make_leaf_sets(*ensemble, trees);
  if (finder_ == nullptr) finder_ = make_walks(*ensemble, trees);
  if (finder_ == nullptr)
    refuse_node(node, SIDECALL_UNSUPPORTED, "the tree ensemble has too many leaves");
  weights_ = std::make_unique<LeafWeights<Number>>(trees, num_targets_);
}

template <typename Number>
typename Forest<Number>::Scratch Forest<Number>::make_scratch() const {
  Scratch scratch;
  scratch.numbers.resize(static_cast<size_t>(num_features_ * kBlockRows));
  scratch.leaves.resize(std::max(num_trees_ * static_cast<size_t>(kBlockRows), finder_->room()));
  return scratch;
}

template <typename Number>
void Forest<Number>::add(const Number* rows, int64_t num_rows, int64_t num_columns, Number* sums,
                         Scratch* scratch, const Interrupt& interrupt) const {
  for (int64_t begin = 0; begin < num_rows; begin += kBlockRows) {
    interrupt.poll();
    const int64_t count = std::min(kBlockRows, num_rows - begin);
    const Number* block = rows + begin * num_columns;
    if (count == 1) {
      add_row(block, num_columns, sums + begin * num_targets_, scratch);
    } else {
      add_block(block, count, num_columns, sums + begin * num_targets_, scratch);
    }
  }
}

template <typename Number>
void Forest<Number>::add_row(const Number* row, int64_t num_columns, Number* sums,
                             Scratch* scratch) const {
  int32_t* leaves = scratch->leaves.data();
  if constexpr (std::is_same_v<Number, float>) {
    finder_->find_row(row, leaves);
  } else {
    encoding_.encode(row, 1, num_columns, 0, 1, scratch->numbers.data());
    finder_->find_row(scratch->numbers.data(), leaves);
  }
  if (weights_->is_single()) {
    const Number* values = weights_->single_values();
    Number sum = sums[weights_->single_target()];
    for (size_t tree = 0; tree < num_trees_; ++tree)
      sum += values[static_cast<size_t>(leaves[tree])];
    sums[weights_->single_target()] = sum;
    return;
  }
  for (size_t tree = 0; tree < num_trees_; ++tree) weights_->add(leaves[tree], sums);
}

template <typename Number>
void Forest<Number>::add_block(const Number* rows, int64_t count, int64_t num_columns, Number* sums,
                               Scratch* scratch) const {
  encoding_.encode(rows, count, num_columns, 1, kBlockRows, scratch->numbers.data());
  finder_->find_block(scratch->numbers.data(), scratch->leaves.data());
  const int32_t* leaves = scratch->leaves.data();
  if (weights_->is_single()) {
    const Number* values = weights_->single_values();
    Number totals[kBlockRows];
    for (int64_t i = 0; i < kBlockRows; ++i)
      totals[i] = i < count ? sums[i * num_targets_ + weights_->single_target()] : Number{0};
    for (size_t tree = 0; tree < num_trees_; ++tree, leaves += kBlockRows) {
      for (int64_t i = 0; i < kBlockRows; ++i) totals[i] += values[static_cast<size_t>(leaves[i])];
    }
    for (int64_t i = 0; i < count; ++i)
      sums[i * num_targets_ + weights_->single_target()] = totals[i];
    return;
  }
  for (size_t tree = 0; tree < num_trees_; ++tree, leaves += kBlockRows) {
    for (int64_t i = 0; i < count; ++i) weights_->add(leaves[i], sums + i * num_targets_);
  }
}

template class Forest<float>;
template class Forest<double>;

}  // namespace sidecall::native
