// Runs tree ensembles; see forest.h.
#include "forest.h"

#include <algorithm>

namespace sidecall::native {
namespace {

// About half of a first-level cache of 32 KiB each for the trees of a chunk and for the rows that
// pass through it.
constexpr size_t kChunkBytes = 16384;
constexpr size_t kRowBytes = 16384;
constexpr int64_t kMaxBlocks = 64;

}  // namespace

template <typename Number>
Forest<Number>::Forest(const Node& node, Ensemble ensemble)
    : Forest(node, &ensemble, chosen_vectors()) {}

template <typename Number>
Forest<Number>::Forest(const Node& node, Ensemble* ensemble, Vectors vectors)
    : num_targets_(ensemble->num_targets), encoding_(ensemble, vectors) {
  const OrderedTrees trees(*ensemble);
  num_trees_ = trees.size();
  make_chunks(trees);
  // The encoding has changed the thresholds by now, so the finders compare encoded rows.
  finders_ = make_leaf_finders(*ensemble, trees, vectors);
  if (finders_.row == nullptr || finders_.block == nullptr)
    refuse_node(node, SIDECALL_UNSUPPORTED, "the tree ensemble has too many leaves");
  weights_ =
      std::make_unique<LeafWeights<Number>>(trees, num_targets_, ensemble->aggregate, vectors);
}

template <typename Number>
void Forest<Number>::make_chunks(const OrderedTrees& trees) {
  size_t begin = 0;
  size_t bytes = 0;
  for (size_t tree = 0; tree < trees.size(); ++tree) {
    // Nodes and weights; leaf sets need about as much.
    const Tree each = trees[tree];
    const auto weights =
        static_cast<size_t>(trees.leaf_begins()[each.first_leaf + each.num_leaves()] -
                            trees.leaf_begins()[each.first_leaf]);
    const size_t of_tree = each.num_entries * sizeof(SmallNode) + weights * sizeof(Number);
    // At least two trees, which walks pass through together.
    if (bytes + of_tree > kChunkBytes && tree >= begin + 2) {
      chunk_ends_.push_back(tree);
      largest_chunk_ = std::max(largest_chunk_, tree - begin);
      begin = tree;
      bytes = 0;
    }
    bytes += of_tree;
  }
  chunk_ends_.push_back(trees.size());
  largest_chunk_ = std::max(largest_chunk_, trees.size() - begin);
}

// If one chunk holds all trees, there is nothing to gain from several blocks.
template <typename Number>
int64_t Forest<Number>::blocks_at_once(int64_t num_rows) const {
  if (chunk_ends_.size() == 1) return 1;
  const size_t block_bytes = std::max<size_t>(encoding_.width(), 1) * kBlockRows * sizeof(float);
  const auto fit = static_cast<int64_t>(kRowBytes / block_bytes);
  const int64_t needed = (num_rows + kBlockRows - 1) / kBlockRows;
  return std::max<int64_t>(1, std::min({fit, needed, kMaxBlocks}));
}

// Divides the rows into parts of about the same number of blocks, because each part passes through
// all trees.
template <typename Number>
int64_t Forest<Number>::rows_at_once(int64_t num_rows) const {
  const int64_t blocks = (num_rows + kBlockRows - 1) / kBlockRows;
  const int64_t most = blocks_at_once(num_rows);
  const int64_t parts = (blocks + most - 1) / most;
  return (blocks + parts - 1) / parts * kBlockRows;
}

template <typename Number>
typename Forest<Number>::Scratch Forest<Number>::make_scratch(int64_t num_rows) const {
  Scratch scratch;
  const auto blocks = static_cast<size_t>(blocks_at_once(num_rows));
  scratch.numbers.resize(encoding_.width() * static_cast<size_t>(kBlockRows) * blocks);
  scratch.has_nan.resize(blocks);
  scratch.leaves.resize(
      std::max(largest_chunk_ * static_cast<size_t>(kBlockRows), finders_.row->room()));
  return scratch;
}

template <typename Number>
void Forest<Number>::add(const Number* rows, int64_t num_rows, int64_t num_columns, Number* sums,
                         Scratch* scratch, const Interrupt& interrupt) const {
  const int64_t fewest = finders_.block->fewest_rows();
  const int64_t step = num_rows < fewest ? fewest : rows_at_once(num_rows);
  for (int64_t begin = 0; begin < num_rows; begin += step) {
    const int64_t count = std::min(step, num_rows - begin);
    const Number* from = rows + begin * num_columns;
    Number* to = sums + begin * num_targets_;
    if (count >= fewest) {
      add_blocks(from, count, num_columns, to, scratch, interrupt);
      continue;
    }
    for (int64_t row = 0; row < count; ++row) {
      interrupt.poll();
      add_row(from + row * num_columns, to + row * num_targets_, scratch);
    }
  }
}

template <typename Number>
void Forest<Number>::add_row(const Number* row, Number* sums, Scratch* scratch) const {
  const bool has_nan = encoding_.encode_row(row, scratch->numbers.data());
  const float* encoded = scratch->numbers.data();
  if constexpr (std::is_same_v<Number, float>) {
    if (encoding_.is_identity()) encoded = row;
  }
  // In several steps, so that the processor finds the next leaves while it adds weights. Adding
  // takes long, because each addition waits for the one before.
  const size_t step = finders_.row->step();
  int32_t* leaves = scratch->leaves.data();
  for (size_t begin = 0; begin < num_trees_; begin += step) {
    const size_t end = std::min(begin + step, num_trees_);
    finders_.row->find_row(encoded, has_nan, begin, end, leaves);
    weights_->add_row(leaves, end - begin, sums);
  }
}

template <typename Number>
void Forest<Number>::add_blocks(const Number* rows, int64_t num_rows, int64_t num_columns,
                                Number* sums, Scratch* scratch, const Interrupt& interrupt) const {
  const int64_t num_blocks = (num_rows + kBlockRows - 1) / kBlockRows;
  const auto rows_of_block = [&](int64_t block) {
    return std::min(kBlockRows, num_rows - block * kBlockRows);
  };
  const size_t block_size = encoding_.width() * static_cast<size_t>(kBlockRows);
  for (int64_t block = 0; block < num_blocks; ++block) {
    const Number* from = rows + block * kBlockRows * num_columns;
    float* to = scratch->numbers.data() + static_cast<size_t>(block) * block_size;
    const bool has_nan = encoding_.encode_block(from, rows_of_block(block), num_columns, to);
    scratch->has_nan[static_cast<size_t>(block)] = has_nan ? 1 : 0;
  }
  int32_t* leaves = scratch->leaves.data();
  size_t begin = 0;
  for (const size_t end : chunk_ends_) {
    for (int64_t block = 0; block < num_blocks; ++block) {
      interrupt.poll();
      const auto number = static_cast<size_t>(block);
      finders_.block->find_block(scratch->numbers.data() + number * block_size,
                                 scratch->has_nan[number] != 0, begin, end, leaves);
      weights_->add_block(leaves, end - begin, rows_of_block(block),
                          sums + block * kBlockRows * num_targets_);
    }
    begin = end;
  }
}

template class Forest<float>;
template class Forest<double>;

}  // namespace sidecall::native
