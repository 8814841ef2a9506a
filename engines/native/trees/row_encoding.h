// Encodes rows and thresholds as float, so that the nodes of trees are small.
#pragma once

#include <cstdint>
#include <vector>

#include "ensemble.h"

namespace sidecall::native {

// Encodes rows, and the thresholds of all splits, as floats. Every comparison of encoded numbers
// has the same result as that of the original ones. There are three encodings:
//
// - Float stays as it is.
// - Double is rounded to float if that changes no comparison: every threshold is the last double
//   that rounds to some float. Models that round their rows to float have such thresholds.
// - Any other double is replaced by its rank among the thresholds of its column.
template <typename Number>
class RowEncoding {
 public:
  // Replaces the thresholds of the ensemble by their encoded forms.
  explicit RowEncoding(Ensemble* ensemble);

  // Encodes the features that the ensemble uses. That of a row is written to
  // out[row * row_stride + feature * feature_stride].
  void encode(const Number* rows, int64_t num_rows, int64_t num_columns, int64_t row_stride,
              int64_t feature_stride, float* out) const;

 private:
  void rank(Ensemble* ensemble);

  struct Column {
    int32_t feature;
    int32_t steps;                   // of the binary search
    std::vector<Number> thresholds;  // 2^steps - 1, sorted, padded with infinities
  };

  int32_t num_features_ = 0;
  bool has_ranks_ = false;
  std::vector<Column> columns_;  // with ranks: the columns that some split reads
};

}  // namespace sidecall::native
