// Orders the nodes of trees; see order.h.
#include "order.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace sidecall::native {
namespace {

// Follows the branch `yes` of splits that send every row there.
int32_t skip_trivial(const Ensemble& ensemble, int32_t at) {
  while (at >= 0) {
    const Split& split = ensemble.splits[static_cast<size_t>(at)];
    if (split.threshold != std::numeric_limits<double>::infinity() || !split.nan_is_yes) break;
    at = split.yes;
  }
  return at;
}

Tree order_tree(const Ensemble& ensemble, int32_t root) {
  Tree tree;
  std::vector<int32_t> nodes = {skip_trivial(ensemble, root)};  // as Split::yes: a split or ~leaf
  std::vector<int32_t> depths = {0};
  tree.shallowest = std::numeric_limits<int32_t>::max();
  for (size_t i = 0; i < nodes.size(); ++i) {
    const int32_t at = nodes[i];
    if (at < 0) {
      const auto leaf = static_cast<size_t>(~at);
      tree.entries.push_back({-1, static_cast<int32_t>(tree.leaf_begins.size()), 0});
      tree.leaf_begins.push_back(static_cast<int32_t>(tree.weights.size()));
      for (int32_t w = ensemble.leaf_begins[leaf]; w < ensemble.leaf_begins[leaf + 1]; ++w)
        tree.weights.push_back(ensemble.weights[static_cast<size_t>(w)]);
      tree.depth = std::max(tree.depth, depths[i]);
      tree.shallowest = std::min(tree.shallowest, depths[i]);
      continue;
    }
    const Split& split = ensemble.splits[static_cast<size_t>(at)];
    tree.entries.push_back({at, -1, static_cast<int32_t>(nodes.size())});
    nodes.push_back(skip_trivial(ensemble, split.no));
    nodes.push_back(skip_trivial(ensemble, split.yes));
    depths.insert(depths.end(), 2, depths[i] + 1);
  }
  tree.leaf_begins.push_back(static_cast<int32_t>(tree.weights.size()));
  return tree;
}

bool have_equal_splits(const Ensemble& ensemble, const Tree& a, const Tree& b) {
  if (a.entries.size() != b.entries.size()) return false;
  for (size_t i = 0; i < a.entries.size(); ++i) {
    const Tree::Entry& x = a.entries[i];
    const Tree::Entry& y = b.entries[i];
    if (x.child != y.child || x.leaf != y.leaf) return false;
    if (x.split < 0) continue;
    const Split& p = ensemble.splits[static_cast<size_t>(x.split)];
    const Split& q = ensemble.splits[static_cast<size_t>(y.split)];
    const bool same_threshold =
        p.threshold == q.threshold || (std::isnan(p.threshold) && std::isnan(q.threshold));
    if (p.feature != q.feature || p.nan_is_yes != q.nan_is_yes || !same_threshold) return false;
  }
  return true;
}

// Gives the leaves of the first of these trees the weights of the others, which have equal splits,
// after its own.
void merge_weights(const std::vector<Tree>& trees, Tree* first) {
  std::vector<Weight> weights;
  std::vector<int32_t> begins;
  for (size_t leaf = 0; leaf + 1 < first->leaf_begins.size(); ++leaf) {
    begins.push_back(static_cast<int32_t>(weights.size()));
    for (const Tree& tree : trees) {
      weights.insert(weights.end(), tree.weights.begin() + tree.leaf_begins[leaf],
                     tree.weights.begin() + tree.leaf_begins[leaf + 1]);
    }
  }
  begins.push_back(static_cast<int32_t>(weights.size()));
  first->weights = std::move(weights);
  first->leaf_begins = std::move(begins);
}

}  // namespace

std::vector<Tree> order_trees(const Ensemble& ensemble) {
  std::vector<Tree> trees;
  std::vector<Tree> equal;  // the trees of the present run of equal splits
  const auto end_run = [&] {
    if (equal.empty()) return;
    Tree first = equal.front();
    if (equal.size() > 1) merge_weights(equal, &first);
    trees.push_back(std::move(first));
    equal.clear();
  };
  for (const int32_t root : ensemble.roots) {
    Tree tree = order_tree(ensemble, root);
    const bool continues = ensemble.num_targets > 1 && !equal.empty() &&
                           have_equal_splits(ensemble, equal.front(), tree);
    if (!continues) end_run();
    equal.push_back(std::move(tree));
  }
  end_run();
  return trees;
}

}  // namespace sidecall::native
