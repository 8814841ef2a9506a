// A tree ensemble in the form in which it is run.
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

// Sums the weights of the leaves that rows reach, in the order of the trees. `Number` is the type
// of rows, weights and sums.
template <typename Number>
class Forest {
 public:
  // Throws UNSUPPORTED if the ensemble is too large.
  Forest(const Node& node, Ensemble ensemble);

  // Memory for add(), made once for each program.
  struct Scratch {
    std::vector<float> numbers;
    std::vector<int32_t> leaves;
  };
  Scratch make_scratch() const;

  // rows: [num_rows, num_columns]; sums: [num_rows, num_targets], to which the weights are added.
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
