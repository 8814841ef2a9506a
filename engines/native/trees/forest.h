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
    std::vector<float> numbers;   // encoded rows; see RowEncoding
    std::vector<int32_t> leaves;  // what the LeafFinder found
  };
  Scratch make_scratch() const;

  // Adds the weights of the leaves that each row reaches to the sums of this row.
  // rows: [num_rows, num_columns]; sums: [num_rows, num_targets].
  void add(const Number* rows, int64_t num_rows, int64_t num_columns, Number* sums,
           Scratch* scratch, const Interrupt& interrupt) const;

 private:
  Forest(const Node& node, Ensemble* ensemble);
  void add_row(const Number* row, int64_t num_columns, Number* sums, Scratch* scratch) const;
  void add_block(const Number* rows, int64_t count, int64_t num_columns, Number* sums,
                 Scratch* scratch) const;

  const int32_t num_targets_;
  const int32_t num_features_;
  const RowEncoding<Number> encoding_;
  size_t num_trees_;
  std::unique_ptr<LeafFinder> finder_;
  std::unique_ptr<LeafWeights<Number>> weights_;
};

}  // namespace sidecall::native
