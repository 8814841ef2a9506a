// Converts float32 and float64; see float_width.h. Used by input_tensors.cpp.
#include "float_width.h"

#include <cfloat>
#include <cmath>
#include <cstring>

#include "core/call/fault_list.h"
#include "core/shapes.h"

namespace sidecall {
namespace {

template <typename From, typename To>
void convert(const char* from, char* to, int64_t count) noexcept {
  for (int64_t i = 0; i < count; ++i) {
    From value;
    std::memcpy(&value, from + i * static_cast<int64_t>(sizeof value), sizeof value);
    const auto converted = static_cast<To>(value);
    std::memcpy(to + i * static_cast<int64_t>(sizeof converted), &converted, sizeof converted);
  }
}

double double_at(const void* doubles, int64_t at) noexcept {
  double value;
  std::memcpy(&value, static_cast<const char*>(doubles) + at * static_cast<int64_t>(sizeof value),
              sizeof value);
  return value;
}

bool has_above_float32(const void* doubles, int64_t count) noexcept {
  uint64_t num_above = 0;  // counted without a branch, so that the loop vectorises
  for (int64_t i = 0; i < count; ++i)
    num_above += std::fabs(double_at(doubles, i)) > static_cast<double>(FLT_MAX) ? 1U : 0U;
  return num_above > 0;
}

}  // namespace

void convert_float_width(const void* from, void* to, int32_t to_dtype, int64_t count) noexcept {
  if (to_dtype == SIDECALL_DTYPE_FLOAT32)
    convert<double, float>(static_cast<const char*>(from), static_cast<char*>(to), count);
  else convert<float, double>(static_cast<const char*>(from), static_cast<char*>(to), count);
}

void require_float32(const Signature& signature, int32_t index, const void* doubles,
                     const Dims& dims) {
  const TensorSpec& spec = signature.inputs[static_cast<size_t>(index)];
  const std::vector<int32_t>& feature_at = signature.checks[static_cast<size_t>(index)].feature_at;
  const int64_t count = count_elements(dims);
  if (!has_above_float32(doubles, count)) return;

  const bool has_contract = !feature_at.empty();
  const int64_t width = has_contract      ? static_cast<int64_t>(feature_at.size())
                        : spec.has_rows() ? count / dims[0]
                                          : count;
  FaultList faults;
  for (int64_t at = 0; at < count; ++at) {
    if (!is_beyond_float32(double_at(doubles, at))) continue;
    if (!has_contract) {
      const int64_t row = spec.has_rows() ? at / width : -1;
      throw Error("input", {SIDECALL_OUT_OF_RANGE, row, spec.name, dtype_name(spec.dtype),
                            "a number beyond its range"});
    }
    const int32_t number = feature_at[static_cast<size_t>(at % width)];
    const Feature& feature = signature.features[static_cast<size_t>(number)];
    if (feature.takes_beyond_float32(double_at(doubles, at))) continue;
    faults.add(number, {SIDECALL_OUT_OF_RANGE, at / width, feature.name, "float32",
                        "a number beyond its range"});
  }
  if (!faults.is_empty()) faults.raise(dims[0] > 1);
}

}  // namespace sidecall
