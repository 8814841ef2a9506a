// Records of a call: one value at a time, by feature. What is refused is remembered, so that a run reports all faults.
#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "call.h"
#include "text.h"

namespace sidecall {
namespace {

constexpr size_t kMaxFaults = 1000;
constexpr int32_t kNoRecord = -1;
constexpr int32_t kNoFeature = INT32_MAX;  // of a name that is none: such faults come last in their row
constexpr double kTwoTo53 = 9007199254740992.0;
constexpr double kTwoTo63 = 9223372036854775808.0;

template <typename T>
void write_at(void* data, int64_t index, T value) {
  std::memcpy(static_cast<char*>(data) + index * static_cast<int64_t>(sizeof(T)), &value, sizeof(T));
}

// An integer feature may land in a floating-point column: an id that would be rounded there is refused.
bool survives(int64_t integer, int32_t tensor_dtype) {
  const auto number = static_cast<double>(integer);
  const bool is_exact = std::fabs(number) <= kTwoTo53;
  if (tensor_dtype == SIDECALL_FLOAT32) return is_exact && static_cast<double>(static_cast<float>(number)) == number;
  return tensor_dtype != SIDECALL_FLOAT64 || is_exact;
}

template <typename T>
int64_t find_nan(const void* data, int64_t count) {
  const T* values = static_cast<const T*>(data);
  // Branch-free and counted in words of the element's size, so that it vectorises.
  std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t> num_nans = 0;
  for (int64_t i = 0; i < count; ++i) num_nans += values[i] != values[i] ? 1 : 0;
  for (int64_t i = 0; num_nans > 0 && i < count; ++i) {
    if (values[i] != values[i]) return i;
  }
  return count;
}

}  // namespace

void Call::require_contract() const {
  if (!signature_.has_contract)
    throw Error(SIDECALL_NO_CONTRACT, "records need a contract and the file carries none: export it with sidecall.export");
}

// From here on the call is one over records.
void Call::use_row(int64_t row, int64_t rows) {
  if (row < 0 || row >= rows)
    throw Error(SIDECALL_INVALID_ARGUMENT, "row: expected 0 to " + std::to_string(rows - 1) + ", got " + std::to_string(row));
  if (has_records_) return;
  states_.assign(static_cast<size_t>(rows_) * signature_.features.size(), State::kUnset);
  has_records_ = true;
}

const Feature& Call::feature_at(int64_t row, int32_t feature) {
  require_idle();
  require_contract();
  if (feature == -1) throw Error(SIDECALL_UNKNOWN_NAME, "unknown feature: the index is that of a name that was not found");
  require(feature >= 0 && static_cast<size_t>(feature) < signature_.features.size(),
          "feature: expected an index of the model, got another number");
  const Feature& found = signature_.features[static_cast<size_t>(feature)];
  const Input& input = inputs_[static_cast<size_t>(found.input)];
  use_row(row, std::min(rows_, input.dims[0]));  // the tensor may have got another number of rows, which the next run looks at
  if (!input.is_borrowed) return found;
  if (input.is_given) throw Error(SIDECALL_INVALID_ARGUMENT, "feature '" + found.name + "': its input is bound to the caller's memory");
  allocate(found.input, input.dims);  // bound before a reset: that memory is the caller's alone again
  return found;
}

Call::State& Call::state_at(int64_t row, int32_t feature) {
  return states_[static_cast<size_t>(row) * signature_.features.size() + static_cast<size_t>(feature)];
}

void Call::refuse(int64_t row, int32_t index, int32_t status, const char* expected, const char* got) {
  State& state = state_at(row, index);
  if (state == State::kSet) --num_set_;
  state = State::kRefused;
  remember(index, {status, row, signature_.features[static_cast<size_t>(index)].name, expected, got});
}

void Call::remember(int32_t index, const Fault& fault) {
  auto key = std::make_tuple(fault.row, index, index == kNoFeature ? fault.name : std::string());
  if (faults_.size() < kMaxFaults || faults_.count(key) != 0) {
    faults_.insert_or_assign(std::move(key), fault);
  } else if (index == kNoFeature) {
    ++num_dropped_names_;
  }
  throw Error({fault}, 1, rows_ > 1);
}

void Call::mark_set(int64_t row, int32_t feature) {
  State& state = state_at(row, feature);
  if (state == State::kSet) return;
  if (state == State::kRefused) faults_.erase({row, feature, std::string()});  // the caller corrected itself
  state = State::kSet;
  ++num_set_;
}

// The values of an input are gone: its features must be set again.
void Call::unset_features(int32_t input) {
  for (size_t i = 0; has_records_ && i < signature_.features.size(); ++i) {
    if (signature_.features[i].input != input) continue;
    for (int64_t row = 0; row < rows_; ++row) {
      State& state = state_at(row, static_cast<int32_t>(i));
      if (state != State::kSet) continue;
      state = State::kUnset;
      --num_set_;
    }
  }
}

void Call::write_number(int64_t row, const Feature& feature, double value, int64_t integer) {
  void* data = inputs_[static_cast<size_t>(feature.input)].data;
  const int64_t index = row * feature.width + feature.column;
  switch (feature.tensor_dtype) {
    case SIDECALL_FLOAT32:
      return write_at(data, index, static_cast<float>(value));
    case SIDECALL_FLOAT64:
      return write_at(data, index, value);
    case SIDECALL_INT64:
      return write_at(data, index, integer);
    default:  // bool: the contract allows nothing else
      return write_at(data, index, static_cast<uint8_t>(integer));
  }
}

void Call::store(int64_t row, int32_t index, const Feature& feature, double value, int64_t integer) {
  const bool is_float32 = feature.tensor_dtype == SIDECALL_FLOAT32;
  if (is_float32 && std::fabs(value) > static_cast<double>(FLT_MAX) && !std::isinf(value))
    refuse(row, index, SIDECALL_OUT_OF_RANGE, "float32", "a number beyond its range");
  if (feature.dtype == SIDECALL_INT64 && !survives(integer, feature.tensor_dtype)) {
    refuse(row, index, SIDECALL_OUT_OF_RANGE, "an integer that its tensor holds exactly", "a larger one");
  }
  if (feature.tensor_dtype == SIDECALL_INT64 && feature.nullable && integer == feature.missing_int) {
    refuse(row, index, SIDECALL_OUT_OF_RANGE, dtype_name(feature.dtype), "the number reserved for missing values");
  }
  if (feature.is_closed && feature.allowed_numbers.count(is_float32 ? static_cast<double>(static_cast<float>(value)) : value) == 0) {
    refuse(row, index, SIDECALL_UNKNOWN_CATEGORY, "a known category", "an unknown one");
  }
  write_number(row, feature, value, integer);
  mark_set(row, index);
}

void Call::set_f64(int64_t row, int32_t index, double value) {
  const Feature& feature = feature_at(row, index);
  if (std::isnan(value) && feature.dtype != SIDECALL_STRING && feature.dtype != SIDECALL_BOOL) return set_missing(row, index);
  if (feature.dtype == SIDECALL_INT64) {
    if (std::trunc(value) != value || std::isinf(value)) refuse(row, index, SIDECALL_DTYPE_MISMATCH, "int64", "float64");
    if (value < -kTwoTo63 || value >= kTwoTo63) refuse(row, index, SIDECALL_OUT_OF_RANGE, "int64", "a number beyond its range");
    return store(row, index, feature, value, static_cast<int64_t>(value));
  }
  if (feature.dtype == SIDECALL_BOOL || feature.dtype == SIDECALL_STRING)
    refuse(row, index, SIDECALL_DTYPE_MISMATCH, dtype_name(feature.dtype), "float64");
  store(row, index, feature, value, 0);
}

void Call::set_i64(int64_t row, int32_t index, int64_t value) {
  const Feature& feature = feature_at(row, index);
  if (feature.dtype == SIDECALL_BOOL || feature.dtype == SIDECALL_STRING)
    refuse(row, index, SIDECALL_DTYPE_MISMATCH, dtype_name(feature.dtype), "int64");
  store(row, index, feature, static_cast<double>(value), value);
}

void Call::set_bool(int64_t row, int32_t index, int32_t value) {
  const Feature& feature = feature_at(row, index);
  require(value == 0 || value == 1, "value: expected 0 or 1, got another number");
  if (feature.dtype != SIDECALL_BOOL) refuse(row, index, SIDECALL_DTYPE_MISMATCH, dtype_name(feature.dtype), "bool");
  store(row, index, feature, value, value);
}

void Call::set_str(int64_t row, int32_t index, std::string_view value) {
  const Feature& feature = feature_at(row, index);
  if (feature.dtype != SIDECALL_STRING) refuse(row, index, SIDECALL_DTYPE_MISMATCH, dtype_name(feature.dtype), "string");
  if (const char* fault = string_fault(value)) refuse(row, index, SIDECALL_INVALID_STRING, "string", fault);
  if (feature.nullable && value == feature.missing_string) return set_missing(row, index);
  if (feature.is_closed && feature.allowed_strings.count(std::string(value)) == 0)
    refuse(row, index, SIDECALL_UNKNOWN_CATEGORY, "a known category", "an unknown one");
  binding_->set_string(feature.input, row * feature.width + feature.column, value);
  mark_set(row, index);
}

void Call::set_missing(int64_t row, int32_t index) {
  const Feature& feature = feature_at(row, index);
  if (!feature.nullable) refuse(row, index, SIDECALL_MISSING_VALUE, dtype_name(feature.dtype), "a missing value");
  write_missing(row, feature);
  mark_set(row, index);
}

void Call::set_invalid(int64_t row, int32_t index, int32_t status, const char* got) {
  if (index == kNoRecord)
    throw Error({SIDECALL_DTYPE_MISMATCH, row, "", "a record", got},
                std::string("records: expected a record, got ") + got + " (row " + std::to_string(row) + ")");
  const Feature& feature = feature_at(row, index);
  refuse(row, index, status, dtype_name(feature.dtype), got);
}

void Call::set_unknown(int64_t row, std::string_view name) {
  require_idle();
  require_contract();
  use_row(row, rows_);
  if (ignore_extra_) return;
  remember(kNoFeature, {SIDECALL_UNKNOWN_NAME, row, is_utf8(name) ? std::string(name) : "?", "a feature of the model", "an unknown name"});
}

void Call::write_missing(int64_t row, const Feature& feature) {
  if (feature.tensor_dtype == SIDECALL_STRING) {
    binding_->set_string(feature.input, row * feature.width + feature.column, feature.missing_string);
  } else {
    write_number(row, feature, std::nan(""), feature.missing_int);
  }
}

void Call::clear() {
  require_idle();
  require_contract();
  reset();
  states_.assign(static_cast<size_t>(rows_) * signature_.features.size(), State::kUnset);
  has_records_ = true;
}

void Call::forget_records() {
  has_records_ = false;
  num_set_ = 0;
  faults_.clear();
  num_dropped_names_ = 0;
}

// Before a run over features: those that were not set become missing, where that is allowed.
void Call::check_records() {
  const auto num_features = static_cast<int32_t>(signature_.features.size());
  const bool is_complete = num_set_ == rows_ * num_features;
  if (is_complete && faults_.empty() && num_dropped_names_ == 0) return;
  auto faults = faults_;
  size_t num_dropped = num_dropped_names_;
  const auto add = [&](int64_t row, int32_t index, int32_t status, const char* got) {
    const Feature& feature = signature_.features[static_cast<size_t>(index)];
    std::tuple key(row, index, std::string());
    if (faults.count(key) != 0) return;
    if (faults.size() >= kMaxFaults) ++num_dropped;
    else faults.emplace(std::move(key), Fault{status, row, feature.name, dtype_name(feature.dtype), got});
  };
  for (int64_t row = 0; !is_complete && row < rows_; ++row) {
    for (int32_t i = 0; i < num_features; ++i) {
      const Feature& feature = signature_.features[static_cast<size_t>(i)];
      const Input& input = inputs_[static_cast<size_t>(feature.input)];
      const State state = state_at(row, i);
      if (state == State::kRefused) {
        add(row, i, SIDECALL_DTYPE_MISMATCH, "a value that was refused");  // where its fault was not kept
      } else if (state == State::kSet || input.is_given) {
        continue;
      } else if (!feature.nullable) {
        add(row, i, SIDECALL_MISSING_VALUE, "a missing value");
      } else {
        if (input.is_borrowed) allocate(feature.input, input.dims);
        write_missing(row, feature);
      }
    }
  }
  if (faults.empty() && num_dropped == 0) return;
  std::vector<Fault> found;
  for (auto& [key, fault] : faults) found.push_back(std::move(fault));
  const size_t total = found.size() + num_dropped;
  if (found.empty()) found.push_back({SIDECALL_UNKNOWN_NAME, -1, "?", "a feature of the model", "an unknown name"});
  throw Error(std::move(found), total, rows_ > 1);
}

// Any other byte is neither true nor false to a kernel, but now the one and now the other.
void Call::check_bools() const {
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const TensorSpec& spec = signature_.inputs[i];
    if (spec.dtype != SIDECALL_BOOL) continue;
    const auto* bytes = static_cast<const uint8_t*>(inputs_[i].data);
    const auto count = static_cast<int64_t>(count_bytes(spec.dtype, inputs_[i].dims));
    uint8_t all = 0;
    for (int64_t k = 0; k < count; ++k) all = static_cast<uint8_t>(all | bytes[k]);
    if (all > 1) throw Error("input", {SIDECALL_OUT_OF_RANGE, -1, spec.name, "bytes of 0 or 1", "another"});
  }
}

// Tensors may have been written through views: look for what the graph would take without a word.
void Call::check_values() {
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const InputCheck& check = signature_.checks[i];
    const auto width = static_cast<int64_t>(check.feature_at.size());
    const void* data = inputs_[i].data;
    const bool is_float32 = signature_.inputs[i].dtype == SIDECALL_FLOAT32;
    const int64_t count = rows_ * width;
    for (int64_t at = 0; check.has_nan_check && at < count; ++at) {
      at += is_float32 ? find_nan<float>(static_cast<const float*>(data) + at, count - at)
                       : find_nan<double>(static_cast<const double*>(data) + at, count - at);
      if (at >= count) break;
      const Feature& feature = signature_.features[static_cast<size_t>(check.feature_at[static_cast<size_t>(at % width)])];
      if (!feature.nullable)
        throw Error({{SIDECALL_MISSING_VALUE, at / width, feature.name, dtype_name(feature.dtype), "a missing value"}}, 1, rows_ > 1);
    }
    for (const int32_t index : check.closed_features) {
      const Feature& feature = signature_.features[static_cast<size_t>(index)];
      for (int64_t row = 0; row < rows_; ++row) check_category(row, feature, data);
    }
  }
}

void Call::check_category(int64_t row, const Feature& feature, const void* data) const {
  const int64_t at = row * feature.width + feature.column;
  double value = 0;
  switch (feature.tensor_dtype) {
    case SIDECALL_FLOAT32:
      value = static_cast<double>(static_cast<const float*>(data)[at]);
      break;
    case SIDECALL_FLOAT64:
      value = static_cast<const double*>(data)[at];
      break;
    case SIDECALL_INT64:
      if (feature.nullable && static_cast<const int64_t*>(data)[at] == feature.missing_int) return;
      value = static_cast<double>(static_cast<const int64_t*>(data)[at]);
      break;
    default:
      value = static_cast<double>(static_cast<const uint8_t*>(data)[at]);
  }
  if (std::isnan(value) || feature.allowed_numbers.count(value) != 0) return;  // NaN is governed by nullable alone
  throw Error({{SIDECALL_UNKNOWN_CATEGORY, row, feature.name, "a known category", "an unknown one"}}, 1, rows_ > 1);
}

}  // namespace sidecall
