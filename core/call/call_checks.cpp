// Checks the inputs of a call before a run: refuses values for which the graph would silently
// compute an answer.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "bounds_check.h"
#include "call.h"
#include "core/contract/feature_refusal.h"

namespace sidecall {
namespace {

// Whether one of the values is `wanted`. Compares all of them, without a branch for each.
template <typename Number>
bool has(const Number* values, int64_t count, Number wanted) {
  bool found = false;
  for (int64_t i = 0; i < count; ++i) found |= values[i] == wanted;
  return found;
}

template <typename Number>
bool is_missing(const Feature& feature, Number value) {
  if constexpr (std::is_floating_point_v<Number>) return std::isnan(value);
  else
    return (feature.nullable || feature.is_datetime()) &&
           feature.tensor_dtype == SIDECALL_DTYPE_INT64 &&
           static_cast<int64_t>(value) == feature.missing_int;
}

template <typename Number>
int64_t integer_of(Number value) {
  if constexpr (std::is_integral_v<Number>) return static_cast<int64_t>(value);
  else return 0;
}

}  // namespace

// Refuses integers and bools that may not be missing and that the caller did not write: they still
// hold what sidecall_call_input() wrote.
void Call::check_unwritten(FaultList* faults) const {
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const std::vector<int32_t>& features = signature_.checks[i].feature_at;
    const int32_t dtype = signature_.inputs[i].dtype;
    const bool is_bool = dtype == SIDECALL_DTYPE_BOOL;
    if (!inputs_[i].is_given || features.empty() || (!is_bool && dtype != SIDECALL_DTYPE_INT64))
      continue;
    const auto count = static_cast<int64_t>(features.size()) * inputs_[i].dims[0];
    const auto* bytes = static_cast<const uint8_t*>(inputs_[i].data);
    const auto* integers = static_cast<const int64_t*>(inputs_[i].data);
    const bool has_some =
        is_bool ? has(bytes, count, kUnwrittenBool) : has(integers, count, kUnwrittenInt64);
    for (int64_t at = 0; has_some && at < count; ++at) {
      const int32_t index = features[static_cast<size_t>(at) % features.size()];
      const Feature& feature = signature_.features[static_cast<size_t>(index)];
      const bool is_written =
          is_bool ? bytes[at] != kUnwrittenBool : integers[at] != kUnwrittenInt64;
      if (is_written || feature.nullable) continue;
      faults->add(index, {SIDECALL_MISSING_VALUE, at / static_cast<int64_t>(features.size()),
                          feature.name, dtype_name(feature.dtype), "a missing value"});
    }
  }
}

// Refuses bytes other than 0 and 1 in bool inputs: kernels treat them sometimes as true and
// sometimes as false.
void Call::check_bools() const {
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const TensorSpec& spec = signature_.inputs[i];
    if (spec.dtype != SIDECALL_DTYPE_BOOL) continue;
    const auto* bytes = static_cast<const uint8_t*>(inputs_[i].data);
    const auto count = static_cast<int64_t>(count_bytes(spec.dtype, inputs_[i].dims));
    uint8_t all = 0;
    for (int64_t k = 0; k < count; ++k) all = static_cast<uint8_t>(all | bytes[k]);
    if (all > 1)
      throw Error("input",
                  {SIDECALL_OUT_OF_RANGE, -1, spec.name, "bytes of 0 or 1", "another byte"});
  }
}

// Numbers may have been written through views, so they are checked here. Strings were checked when
// they were given.
void Call::check_values(FaultList* faults) {
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const InputCheck& check = signature_.checks[i];
    const void* data = inputs_[i].data;
    if (inputs_[i].is_given && !inputs_[i].faults.is_empty()) faults->add_all(inputs_[i].faults);
    bool is_clean = true;
    if (const auto* floats = std::get_if<Bounds<float>>(&check.bounds))
      is_clean = is_within(*floats, data, rows_);
    if (const auto* doubles = std::get_if<Bounds<double>>(&check.bounds))
      is_clean = is_within(*doubles, data, rows_);
    if (const auto* integers = std::get_if<Bounds<int64_t>>(&check.bounds))
      is_clean = is_within(*integers, data, rows_);
    if (is_clean && check.listed_features.empty()) continue;
    switch (signature_.inputs[i].dtype) {
      case SIDECALL_DTYPE_FLOAT32:
        check_columns<float>(i, is_clean, faults);
        break;
      case SIDECALL_DTYPE_FLOAT64:
        check_columns<double>(i, is_clean, faults);
        break;
      case SIDECALL_DTYPE_INT64:
        check_columns<int64_t>(i, is_clean, faults);
        break;
      default:  // bool: tensors of other types have neither bounds nor listed features
        check_columns<uint8_t>(i, is_clean, faults);
    }
  }
}

// Checks value by value. `is_clean`: check_values() has found no missing value in a feature that is
// not nullable, and no value beyond the outer ends of the domain of its feature.
template <typename Number>
void Call::check_columns(size_t input, bool is_clean, FaultList* faults) {
  const InputCheck& check = signature_.checks[input];
  const bool is_set = has_records_ && !inputs_[input].is_given;
  const auto* values = static_cast<const Number*>(inputs_[input].data);
  for (int64_t row = 0; row < rows_; ++row) {
    for (const int32_t index : is_clean ? check.listed_features : check.feature_at) {
      if (is_set && state_at(row, index) != State::kSet) continue;  // not set by the caller
      const Feature& feature = signature_.features[static_cast<size_t>(index)];
      const Number value = values[row * feature.width + feature.column];
      if (is_missing(feature, value)) {
        if (!feature.nullable && !faults->has(row, index))
          faults->add(index, {SIDECALL_MISSING_VALUE, row, feature.name, dtype_name(feature.dtype),
                              "a missing value"});
      } else if (std::optional<Refusal> refusal =
                     refusal_of(feature, static_cast<double>(value), integer_of(value))) {
        if (faults->has(row, index)) continue;  // the set functions have refused another value
        faults->add(index, {refusal->status, row, feature.name, std::move(refusal->expected),
                            refusal->got});
      }
    }
  }
}

// Checks one string of a tensor that the caller gives. Returns the string that the model gets.
std::string_view Call::check_text(int32_t input, int64_t element, std::string_view text) {
  const std::vector<int32_t>& features = signature_.checks[static_cast<size_t>(input)].feature_at;
  const auto width = static_cast<int64_t>(features.size());
  const int32_t index = features[static_cast<size_t>(element % width)];
  const Feature& feature = signature_.features[static_cast<size_t>(index)];
  const bool is_missing = feature.is_missing(text);
  if (is_missing && feature.nullable) return feature.missing_string;
  std::optional<Refusal> refusal;
  if (is_missing)
    refusal = Refusal{SIDECALL_MISSING_VALUE, dtype_name(feature.dtype), "a missing value"};
  else if (!feature.takes_all()) refusal = refusal_of(feature, text);
  if (refusal) {
    Fault fault{refusal->status, element / width, feature.name, std::move(refusal->expected),
                refusal->got};
    inputs_[static_cast<size_t>(input)].faults.add(index, std::move(fault));
  }
  return text;
}

}  // namespace sidecall
