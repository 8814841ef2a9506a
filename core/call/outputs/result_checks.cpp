// Finds the rows that the model refuses; see result_checks.h. Used by call.cpp.
#include "result_checks.h"

#include <cmath>
#include <string>

#include "core/call/bounds_check.h"
#include "core/call/fault_list.h"
#include "core/error.h"
#include "core/shapes.h"

namespace sidecall {
namespace {

constexpr const char* kFinite = "finite numbers";
constexpr const char* kOthers = "others";

bool has_nonzero(const int64_t* values, int64_t count) {
  int64_t found = 0;
  for (int64_t i = 0; i < count; ++i) found |= values[i];
  return found != 0;
}

bool is_float32(const Signature& signature, int32_t output) {
  return signature.outputs[static_cast<size_t>(output)].dtype == SIDECALL_DTYPE_FLOAT32;
}

bool has_finite_outputs(const Signature& signature, OutputTensors* outputs) {
  for (const int32_t index : signature.finite_outputs) {
    const OutputTensors::Tensor& output = outputs->fetch(index);
    const int64_t count = count_elements(output.dims);
    const bool is_finite = is_float32(signature, index)
                               ? is_all_finite(static_cast<const float*>(output.data), count)
                               : is_all_finite(static_cast<const double*>(output.data), count);
    if (!is_finite) return false;
  }
  return true;
}

// The first column whose value in this row must be finite but is not; -1 if there is none.
int32_t find_column_not_finite(const Signature& signature, OutputTensors* outputs, int64_t row) {
  for (const int32_t index : signature.finite_outputs) {
    const OutputTensors::Tensor& output = outputs->fetch(index);
    for (size_t i = 0; i < signature.columns.size(); ++i) {
      const Column& column = signature.columns[i];
      if (column.output != index) continue;
      const int64_t width = output.dims.size() < 2 ? 1 : output.dims[1],
                    at = row * width + column.column;
      // A graph may return another shape than it declares.
      if (output.dims.empty() || row >= output.dims[0] || column.column >= width) continue;
      const bool is_finite = is_float32(signature, index)
                                 ? std::isfinite(static_cast<const float*>(output.data)[at])
                                 : std::isfinite(static_cast<const double*>(output.data)[at]);
      if (!is_finite) return static_cast<int32_t>(i);
    }
  }
  return -1;
}

void check_rows(const Signature& signature, OutputTensors* outputs, int64_t rows) {
  FaultList faults;
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t number = outputs->refusals() == nullptr ? 0 : outputs->refusals()[row];
    if (number < 0 || number > static_cast<int64_t>(signature.steps.size())) {
      const std::string expected =
          "0 to " + std::to_string(signature.steps.size()) + " for each row";
      throw Error(SIDECALL_ENGINE, "the output that reports refused rows: expected " + expected +
                                       ", got " + std::to_string(number));
    }
    if (number > 0) {
      const Step& step = signature.steps[static_cast<size_t>(number - 1)];
      faults.add(0, {SIDECALL_REFUSED, row, step.name, step.expected, kOthers, "step"});
    } else if (const int32_t column = find_column_not_finite(signature, outputs, row);
               column >= 0) {
      faults.add(0, {SIDECALL_REFUSED, row, signature.columns[static_cast<size_t>(column)].name,
                     kFinite, kOthers, "output"});
    }
  }
  if (!faults.is_empty()) faults.raise(rows > 1);
}

}  // namespace

void check_results(const Signature& signature, OutputTensors* outputs, int64_t rows) {
  const int64_t* refusals = outputs->refusals();
  const bool is_refused = refusals != nullptr && has_nonzero(refusals, rows);
  if (is_refused || !has_finite_outputs(signature, outputs)) check_rows(signature, outputs, rows);
}

}  // namespace sidecall
