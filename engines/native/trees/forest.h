// Runs a tree ensemble: finds the leaf of each tree, then adds the weights of the leaves.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engines/native/operator.h"
#include "ensemble.h"
#include "leaf_finder.h"
#include "row_encoding.h"
#include "weights.h"

namespace sidecall::native {

// A compiled tree ensemble. Weights are added in the order of the trees, so sums do not depend on
// how the leaves were found. `Number` is the type of rows, weights and sums.
template <typename Number>
class Forest {
 public:
  // Throws UNSUPPORTED if the ensemble is too large.
  Forest(const Node& node, Ensemble ensemble);

  // Memory for add(); each program has its own.
  struct Scratch {
    std::vector<float> numbers;    // encoded rows; see RowEncoding
    std::vector<uint8_t> has_nan;  // by block
    std::vector<int32_t> leaves;   // what a finder found
  };
  Scratch make_scratch(int64_t num_rows) const;

  // Adds the weights of the leaves that each row reaches to the sums of this row, or combines them
  // as the ensemble's aggregate says.
  // rows: [num_rows, num_columns]; sums: [num_rows, num_targets]. `scratch` was made for num_rows.
  void add(const Number* rows, int64_t num_rows, int64_t num_columns, Number* sums,
           Scratch* scratch, const Interrupt& interrupt) const;

 private:
  Forest(const Node& node, Ensemble* ensemble, Vectors vectors);
  void make_chunks(const OrderedTrees& trees);
  int64_t blocks_at_once(int64_t num_rows) const;
  int64_t rows_at_once(int64_t num_rows) const;
  void add_row(const Number* row, Number* sums, Scratch* scratch) const;
  void add_blocks(const Number* rows, int64_t num_rows, int64_t num_columns, Number* sums,
                  Scratch* scratch, const Interrupt& interrupt) const;

  const int32_t num_targets_;
  const RowEncoding<Number> encoding_;
  size_t num_trees_ = 0;
  // Batches pass several blocks of rows through a chunk of trees, which stays in the cache, before
  // they continue with the next chunk.
  std::vector<size_t> chunk_ends_;  // by chunk: the number of its last tree + 1
  size_t largest_chunk_ = 0;        // in trees
  LeafFinders finders_;
  std::unique_ptr<LeafWeights<Number>> weights_;
};

}  // namespace sidecall::native
