// Rows of numbers as the trees compare them: as float, in which nodes are small.
#pragma once

#include <cstdint>
#include <vector>

#include "ensemble.h"

namespace sidecall::native {

// Turns rows, and the thresholds of all splits, into floats for which every comparison has the same
// result as for the original numbers. There are three ways:
//
// - The numbers are float already.
// - The numbers are double and can be rounded to float, because every threshold lies on the border
//   between doubles that round to one float and those that round to the next. Models that round
//   their rows to float have such thresholds.
// - The numbers are double and are replaced by their rank among the thresholds of their column.
template <typename Number>
class RowEncoding {
 public:
  // Changes the thresholds of the ensemble to the encoded ones.
  explicit RowEncoding(Ensemble* ensemble);

  bool is_identity() const;

  // The cost of encoding a row, in comparisons.
  int64_t cost() const { return cost_; }

  // out[row][feature] at out[row * row_stride + feature * feature_stride], for the features of the
  // ensemble.
  void encode(const Number* rows, int64_t num_rows, int64_t num_columns, int64_t row_stride,
              int64_t feature_stride, float* out) const;

 private:
  void rank(Ensemble* ensemble);

  struct Column {
    int32_t feature;
    int32_t steps;                   // of the search
    std::vector<Number> thresholds;  // 2^steps - 1, sorted; filled up with infinities
  };

  int32_t num_features_ = 0;
  bool has_ranks_ = false;
  int64_t cost_ = 0;
  std::vector<Column> columns_;  // those that some split reads; only with ranks
};

}  // namespace sidecall::native
