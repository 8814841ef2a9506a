// The steps that were fused with a node that counts terms (fusion.h), of which there may be none.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "engines/native/operator.h"

namespace sidecall::native {

// 1 + log(count), and 0 for 0.
template <typename T>
T damped(T count) {
  return count == T{0} ? T{0} : T{1} + std::log(count);
}

// The steps read only the columns that are not zero in a row.
class FusedSteps {
 public:
  // The counts of one row. All columns that are not listed are zero.
  struct Row {
    std::vector<uint32_t> counts;  // of all columns; zero between two rows
    std::vector<int32_t> columns;  // those that are not zero
    std::vector<double> values;    // by position in `columns`
  };

  // `width` is the number of columns. Throws UNSUPPORTED if the steps need another number.
  FusedSteps(const Compile& compile, int64_t width);

  int32_t dtype() const { return dtype_; }  // of the results: float32 or float64
  int64_t num_results() const { return has_product_ ? num_results_ : width_; }
  Row make_row() const;

  // Computes one row of results, and clears `row` for the next one. T is the type of dtype().
  template <typename T>
  void run(Row* row, T* results) const;

 private:
  struct Compiled {
    FusedStep step{};
    bool is_float = false;  // the step computes in float32
    std::vector<double> first, second;
  };

  template <typename Number>
  static double apply(const Compiled& step, const int32_t* columns, double* values, size_t count);
  template <typename T>
  void multiply(const Compiled& step, const int32_t* columns, const double* values, size_t count,
                T* results) const;

  const int64_t width_;
  std::vector<Compiled> steps_;
  int32_t dtype_ = SIDECALL_DTYPE_FLOAT32;
  bool has_product_ = false;
  int64_t num_results_ = 0;
};

}  // namespace sidecall::native
