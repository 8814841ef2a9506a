// Computes fused steps; see fused_steps.h.
#include "fused_steps.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace sidecall::native {
namespace {

void check(const Node& node, int64_t got, int64_t width) {
  if (got != width)
    refuse_node(node, SIDECALL_UNSUPPORTED,
                "expected later nodes for " + std::to_string(width) + " columns, got nodes for " +
                    std::to_string(got));
}

std::vector<double> numbers(const Constant& constant) {
  std::vector<double> result;
  with_type<float, double>(constant.dtype, [&](auto zero) {
    const auto* elements = static_cast<const decltype(zero)*>(constant.place.data);
    result.assign(elements, elements + constant.count);
    return true;
  });
  return result;
}

std::vector<double> transposed(const std::vector<double>& matrix, int64_t rows, int64_t columns) {
  std::vector<double> result(matrix.size());
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j)
      result[static_cast<size_t>(j * rows + i)] = matrix[static_cast<size_t>(i * columns + j)];
  }
  return result;
}

}  // namespace

FusedSteps::FusedSteps(const Compile& compile, int64_t width) : width_(width) {
  const Node& node = compile.node;
  size_t input = 1;
  for (const FusedStep step : node.fused) {
    const Constant* first = compile.constant(input++);
    const Constant* second = compile.constant(input++);
    if (step == FusedStep::kToFloat32) dtype_ = SIDECALL_DTYPE_FLOAT32;
    if (step == FusedStep::kToFloat64) dtype_ = SIDECALL_DTYPE_FLOAT64;
    Compiled& compiled = steps_.emplace_back();
    compiled.step = step;
    compiled.is_float = dtype_ == SIDECALL_DTYPE_FLOAT32;
    if (step == FusedStep::kMultiply) {
      compiled.first = numbers(*first);
      if (first->count != 1) check(node, first->count, width);
      else compiled.first.assign(static_cast<size_t>(width), double{compiled.first[0]});
    } else if (step == FusedStep::kNormalize) {
      compiled.first = numbers(*first);
      compiled.second = numbers(*second);
    } else if (step == FusedStep::kProduct || step == FusedStep::kProductTransposed) {
      const bool is_transposed = step == FusedStep::kProductTransposed;
      check(node, first->dims[is_transposed ? 1 : 0], width);
      num_results_ = first->dims[is_transposed ? 0 : 1];
      compiled.first = numbers(*first);
      if (is_transposed) compiled.first = transposed(compiled.first, num_results_, width);
      if (second != nullptr) compiled.second = numbers(*second);
      has_product_ = true;
    }
  }
}

FusedSteps::Row FusedSteps::make_row() const {
  Row row;
  const auto width = static_cast<size_t>(width_);
  row.counts.resize(width);
  row.columns.reserve(width);
  row.values.resize(width);
  return row;
}

// Applies the step to the columns that are not zero, and returns the value that the step gives all
// columns that are zero. Each operation is rounded to Number. Products, quotients, sums and roots
// of float32 numbers have the same bits whether they are computed in float32, or in double and then
// rounded.
template <typename Number>
double FusedSteps::apply(const Compiled& step, const int32_t* columns, double* values,
                         size_t count) {
  const auto rounded = [](double number) { return double{static_cast<Number>(number)}; };
  if (step.step == FusedStep::kToFloat32) {
    for (size_t i = 0; i < count; ++i) values[i] = rounded(values[i]);
  } else if (step.step == FusedStep::kSign) {
    for (size_t i = 0; i < count; ++i) {
      if (!std::isnan(values[i])) values[i] = (values[i] > 0) - (values[i] < 0);
    }
  } else if (step.step == FusedStep::kDamp) {
    for (size_t i = 0; i < count; ++i) values[i] = damped(static_cast<Number>(values[i]));
  } else if (step.step == FusedStep::kMultiply) {
    for (size_t i = 0; i < count; ++i)
      values[i] = rounded(values[i] * step.first[static_cast<size_t>(columns[i])]);
  } else if (step.step == FusedStep::kNormalize) {
    double sum = 0;
    for (size_t i = 0; i < count; ++i) sum = rounded(sum + rounded(values[i] * values[i]));
    double length = rounded(std::sqrt(sum));
    if (length < step.first[0]) length = step.second[0];
    for (size_t i = 0; i < count; ++i) values[i] = rounded(values[i] / length);
    return 0 / length;
  }
  return 0;
}

template <typename T>
void FusedSteps::multiply(const Compiled& step, const int32_t* columns, const double* values,
                          size_t count, T* results) const {
  std::fill_n(results, num_results_, T{});
  const double* const matrix = step.first.data();
  for (size_t i = 0; i < count; ++i) {
    const double* const weights = matrix + columns[i] * num_results_;
    const auto value = static_cast<T>(values[i]);
    for (int64_t j = 0; j < num_results_; ++j) results[j] += value * static_cast<T>(weights[j]);
  }
  for (size_t j = 0; j < step.second.size(); ++j) results[j] += static_cast<T>(step.second[j]);
}

template <typename T>
void FusedSteps::run(Row* row, T* results) const {
  const size_t count = row->columns.size();
  double* const values = row->values.data();
  const int32_t* const columns = row->columns.data();
  for (size_t i = 0; i < count; ++i) {
    uint32_t& counted = row->counts[static_cast<size_t>(columns[i])];
    values[i] = static_cast<float>(counted);  // as in the function's body
    counted = 0;
  }
  double zero = 0;  // may become NaN
  for (const Compiled& step : steps_) {
    zero += step.is_float ? apply<float>(step, columns, values, count)
                          : apply<double>(step, columns, values, count);
  }
  if (has_product_) {
    multiply(steps_.back(), columns, values, count, results);
  } else {
    std::fill_n(results, width_, static_cast<T>(zero));
    for (size_t i = 0; i < count; ++i) results[columns[i]] = static_cast<T>(values[i]);
  }
  row->columns.clear();
}

template void FusedSteps::run(Row* row, float* results) const;
template void FusedSteps::run(Row* row, double* results) const;

}  // namespace sidecall::native
