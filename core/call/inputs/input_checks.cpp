// Faults of inputs; see input_checks.h. Used by call.cpp.
#include "input_checks.h"

#include <cmath>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "core/call/bounds_check.h"
#include "core/call/fault_list.h"
#include "core/contract/feature_refusal.h"
#include "core/error.h"
#include "core/shapes.h"

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

// Collects the faults of the inputs of one run.
class InputChecker {
 public:
  InputChecker(const Signature& signature, const FeatureStates& states, const InputTensors& inputs,
               FaultList* faults)
      : signature_(signature), states_(states), inputs_(inputs), faults_(*faults) {}

  void check_unwritten();
  void check_bools() const;
  void check_values();

 private:
  template <typename Number>
  void check_columns(size_t input, bool is_clean);

  const Signature& signature_;
  const FeatureStates& states_;
  const InputTensors& inputs_;
  FaultList& faults_;
};

// Refuses integers and bools that may not be missing and that the caller did not write: they still
// hold what sidecall_call_input() wrote.
void InputChecker::check_unwritten() {
  for (size_t i = 0; i < signature_.inputs.size(); ++i) {
    const auto input = static_cast<int32_t>(i);
    const std::vector<int32_t>& features = signature_.checks[i].feature_at;
    const int32_t dtype = signature_.inputs[i].dtype;
    const bool is_bool = dtype == SIDECALL_DTYPE_BOOL;
    if (!inputs_.is_set(input) || features.empty() || (!is_bool && dtype != SIDECALL_DTYPE_INT64))
      continue;
    const auto count = static_cast<int64_t>(features.size()) * inputs_.shapes()[i][0];
    const auto* bytes = static_cast<const uint8_t*>(inputs_.data(input));
    const auto* integers = static_cast<const int64_t*>(inputs_.data(input));
    const bool has_some =
        is_bool ? has(bytes, count, kUnwrittenBool) : has(integers, count, kUnwrittenInt64);
    for (int64_t at = 0; has_some && at < count; ++at) {
      const int32_t index = features[static_cast<size_t>(at) % features.size()];
      const Feature& feature = signature_.features[static_cast<size_t>(index)];
      const bool is_written =
          is_bool ? bytes[at] != kUnwrittenBool : integers[at] != kUnwrittenInt64;
      if (is_written || feature.nullable) continue;
      faults_.add(index, {SIDECALL_MISSING_VALUE, at / static_cast<int64_t>(features.size()),
                          feature.name, dtype_name(feature.dtype), "a missing value"});
    }
  }
}

// Refuses bytes other than 0 and 1 in bool inputs: kernels treat them sometimes as true and
// sometimes as false.
void InputChecker::check_bools() const {
  for (size_t i = 0; i < signature_.inputs.size(); ++i) {
    const TensorSpec& spec = signature_.inputs[i];
    if (spec.dtype != SIDECALL_DTYPE_BOOL) continue;
    const auto* bytes = static_cast<const uint8_t*>(inputs_.data(static_cast<int32_t>(i)));
    const auto count = static_cast<int64_t>(count_bytes(spec.dtype, inputs_.shapes()[i]));
    uint8_t all = 0;
    for (int64_t k = 0; k < count; ++k) all = static_cast<uint8_t>(all | bytes[k]);
    if (all > 1)
      throw Error("input",
                  {SIDECALL_OUT_OF_RANGE, -1, spec.name, "bytes of 0 or 1", "another byte"});
  }
}

// Numbers may have been written through views, so they are checked here. Strings were checked when
// they were set.
void InputChecker::check_values() {
  const int64_t rows = inputs_.rows();
  for (size_t i = 0; i < signature_.inputs.size(); ++i) {
    const auto input = static_cast<int32_t>(i);
    const InputCheck& check = signature_.checks[i];
    const void* data = inputs_.data(input);
    if (inputs_.is_set(input) && !inputs_.string_faults(input).is_empty())
      faults_.add_all(inputs_.string_faults(input));
    bool is_clean = true;
    if (const auto* floats = std::get_if<Bounds<float>>(&check.bounds))
      is_clean = is_within(*floats, data, rows);
    if (const auto* doubles = std::get_if<Bounds<double>>(&check.bounds))
      is_clean = is_within(*doubles, data, rows);
    if (const auto* integers = std::get_if<Bounds<int64_t>>(&check.bounds))
      is_clean = is_within(*integers, data, rows);
    if (is_clean && check.listed_features.empty()) continue;
    switch (signature_.inputs[i].dtype) {
      case SIDECALL_DTYPE_FLOAT32:
        check_columns<float>(i, is_clean);
        break;
      case SIDECALL_DTYPE_FLOAT64:
        check_columns<double>(i, is_clean);
        break;
      case SIDECALL_DTYPE_INT64:
        check_columns<int64_t>(i, is_clean);
        break;
      default:  // bool: tensors of other types have neither bounds nor listed features
        check_columns<uint8_t>(i, is_clean);
    }
  }
}

// Checks value by value. `is_clean`: check_values() has found no missing value in a feature that is
// not nullable, and no value beyond the outer ends of the domain of its feature.
template <typename Number>
void InputChecker::check_columns(size_t input, bool is_clean) {
  const InputCheck& check = signature_.checks[input];
  const auto index_of_input = static_cast<int32_t>(input);
  const bool is_from_records = states_.is_active() && !inputs_.is_set(index_of_input);
  const auto* values = static_cast<const Number*>(inputs_.data(index_of_input));
  for (int64_t row = 0; row < inputs_.rows(); ++row) {
    for (const int32_t index : is_clean ? check.listed_features : check.feature_at) {
      if (is_from_records && !states_.is_set(row, index)) continue;  // not set by the caller
      const Feature& feature = signature_.features[static_cast<size_t>(index)];
      const Number value = values[row * feature.width + feature.column];
      if (is_missing(feature, value)) {
        if (!feature.nullable && !faults_.has(row, index))
          faults_.add(index, {SIDECALL_MISSING_VALUE, row, feature.name, dtype_name(feature.dtype),
                              "a missing value"});
      } else if (std::optional<Refusal> refusal =
                     refusal_of(feature, static_cast<double>(value), integer_of(value))) {
        if (faults_.has(row, index)) continue;  // the set functions have refused another value
        faults_.add(index, {refusal->status, row, feature.name, std::move(refusal->expected),
                            refusal->got});
      }
    }
  }
}

// Features that were not set become missing where that is allowed, and are faults otherwise. Adds
// the refusals of the set functions too.
void complete_records(const Signature& signature, const FeatureStates& states, InputTensors* inputs,
                      FaultList* faults) {
  if (!states.refusals().is_empty()) *faults = states.refusals();
  if (states.is_complete()) return;
  const auto num_features = static_cast<int32_t>(signature.features.size());
  const auto put = [&](int64_t row, int32_t index, int32_t status, const char* got) {
    if (faults->is_past_end(row, index)) return faults->count();
    const Feature& feature = signature.features[static_cast<size_t>(index)];
    if (!faults->has(row, index))
      faults->put(index, {status, row, feature.name, dtype_name(feature.dtype), got});
  };
  for (int64_t row = 0; row < inputs->rows(); ++row) {
    for (int32_t i = 0; i < num_features; ++i) {
      const Feature& feature = signature.features[static_cast<size_t>(i)];
      const FeatureStates::State state = states.at(row, i);
      if (state == FeatureStates::State::kRefused) {
        // Only adds a fault if the original one was not kept.
        put(row, i, SIDECALL_DTYPE_MISMATCH, "a value that was refused");
      } else if (state == FeatureStates::State::kSet || inputs->is_set(feature.input)) {
        continue;
      } else if (!feature.nullable) {
        put(row, i, SIDECALL_MISSING_VALUE, "a missing value");
      } else {
        inputs->stop_borrowing(feature.input);
        inputs->write_missing(row, feature);
      }
    }
  }
}

}  // namespace

void require_all_inputs(const Signature& signature, const FeatureStates& states,
                        const InputTensors& inputs) {
  for (size_t i = 0; i < signature.inputs.size(); ++i) {
    const bool is_from_records = states.is_active() && !signature.checks[i].feature_at.empty();
    if (inputs.is_set(static_cast<int32_t>(i)) || is_from_records) continue;
    const TensorSpec& spec = signature.inputs[i];
    throw Error("input", {SIDECALL_MISSING_INPUT, -1, spec.name,
                          describe_tensor(spec.dtype, spec.dims, &spec.dim_names), "nothing"});
  }
}

void check_inputs(const Signature& signature, const FeatureStates& states, InputTensors* inputs) {
  FaultList faults;
  if (states.is_active()) complete_records(signature, states, inputs, &faults);
  InputChecker checker(signature, states, *inputs, &faults);
  if (signature.has_contract) checker.check_unwritten();
  if (faults.is_empty()) checker.check_bools();
  if (signature.has_contract) checker.check_values();
  if (!faults.is_empty()) faults.raise(inputs->rows() > 1);
}

}  // namespace sidecall
