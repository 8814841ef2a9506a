// Fills the records of a call one value at a time, by feature. Refused values are remembered, so
// that a run reports all faults.
#include <algorithm>
#include <cmath>
#include <type_traits>

#include "base/json/fault_json.h"
#include "base/text/utf8.h"
#include "call_inline.h"
#include "core/contract/feature_refusal.h"
#include "core/text.h"

namespace sidecall {
namespace {

constexpr int32_t kNoRecord = -1;
// Stands for a name that is not a feature. The fault of such a name comes last in its row.
constexpr int32_t kNoFeature = INT32_MAX;
constexpr double kTwoTo63 = 9223372036854775808.0;

// What a feature expects, for faults of values that have another type.
std::string expected_by(const Feature& feature) {
  if (!feature.is_datetime()) return dtype_name(feature.dtype);
  return feature.zone.empty() ? "a datetime such as '2026-01-31T12:30:00'"
                              : "a datetime such as '2026-01-31T12:30:00Z'";
}

}  // namespace

void Call::require_contract() const {
  if (!signature_.has_contract)
    throw Error(
        SIDECALL_NO_CONTRACT,
        "records need a contract and the file carries none: export the model with sidecall.export");
}

// Checks the row, and marks the call as one whose inputs come from records (has_records_).
void Call::use_row(int64_t row, int64_t rows) {
  if (row < 0 || row >= rows)
    throw Error(SIDECALL_INVALID_ARGUMENT,
                "row: expected 0 to " + std::to_string(rows - 1) + ", got " + std::to_string(row));
  if (has_records_) return;
  states_.assign(static_cast<size_t>(rows_) * signature_.features.size(), State::kUnset);
  has_records_ = true;
}

// Makes it possible to write a value of the feature, and checks the arguments.
const Feature& Call::open_feature(int64_t row, int32_t feature) {
  require_contract();
  if (feature == -1)
    throw Error(SIDECALL_UNKNOWN_NAME,
                "unknown feature: expected the index of a feature, got -1 (not found)");
  if (feature < 0 || static_cast<size_t>(feature) >= signature_.features.size())
    throw Error(SIDECALL_INVALID_ARGUMENT, "feature: expected an index below " +
                                               std::to_string(signature_.features.size()) +
                                               ", got " + std::to_string(feature));
  const Feature& found = signature_.features[static_cast<size_t>(feature)];
  const Input& input = inputs_[static_cast<size_t>(found.input)];
  // The caller may have given the tensor a different number of rows; the next run checks that.
  use_row(row, std::min(rows_, input.dims[0]));
  if (!input.is_borrowed) return found;
  if (input.is_given)
    throw Error(SIDECALL_INVALID_ARGUMENT,
                "feature '" + found.name + "': its input is bound to the caller's memory");
  // The input was bound before a reset: that memory now belongs to the caller alone.
  allocate(found.input, input.dims);
  return found;
}

const Fault* Call::refuse(int64_t row, int32_t index, int32_t status, const std::string& expected,
                          const char* got) {
  State& state = state_at(row, index);
  if (state == State::kSet) --num_set_;
  state = State::kRefused;
  return remember(
      index, {status, row, signature_.features[static_cast<size_t>(index)].name, expected, got});
}

const Fault* Call::remember(int32_t index, const Fault& fault) {
  const std::string name = index == kNoFeature ? fault.name : std::string();
  if (!faults_.is_full() || faults_.has(fault.row, index, name)) faults_.put(index, fault, name);
  else if (index == kNoFeature) faults_.count();  // a feature's fault remains visible in states_
  refusal_ = fault;
  return &refusal_;
}

// Sets the state of a value that has been written, and forgets what was wrong with the one before.
void Call::become_set(int64_t row, int32_t feature, State* state) {
  if (*state == State::kRefused) faults_.remove(row, feature);
  FaultList& given =
      inputs_[static_cast<size_t>(signature_.features[static_cast<size_t>(feature)].input)].faults;
  if (!given.is_empty()) given.remove(row, feature);
  *state = State::kSet;
  ++num_set_;
}

// Called when the values of an input are lost: its features must be set again.
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

// Writes `value` to a floating-point column, and `integer` to any other column. A float32 column
// gets the float32 that is nearest to `value`; the model rounds its input in the same way.
void Call::write_number(int64_t row, const Feature& feature, double value, int64_t integer) {
  void* data = inputs_[static_cast<size_t>(feature.input)].data;
  const int64_t index = row * feature.width + feature.column;
  switch (feature.tensor_dtype) {
    case SIDECALL_DTYPE_FLOAT32:
      return write_at(data, index, static_cast<float>(value));
    case SIDECALL_DTYPE_FLOAT64:
      return write_at(data, index, value);
    case SIDECALL_DTYPE_INT64:
      return write_at(data, index, integer);
    default:  // bool: the contract allows nothing else
      return write_at(data, index, static_cast<uint8_t>(integer));
  }
}

const Fault* Call::store(int64_t row, int32_t index, const Feature& feature, double value,
                         int64_t integer) {
  const bool is_float32 = feature.tensor_dtype == SIDECALL_DTYPE_FLOAT32;
  if (is_float32 && is_beyond_float32(value) && !feature.takes_beyond_float32(value))
    return refuse(row, index, SIDECALL_OUT_OF_RANGE, "float32", "a number beyond its range");
  if (feature.tensor_dtype == SIDECALL_DTYPE_INT64 && feature.nullable &&
      integer == feature.missing_int) {
    return refuse(row, index, SIDECALL_OUT_OF_RANGE, dtype_name(feature.dtype),
                  "the number reserved for missing values");
  }
  // Over other routes than a file the tensor is checked as a whole, and nothing tells there that
  // the caller has set this number.
  if (feature.tensor_dtype == SIDECALL_DTYPE_INT64 && !feature.nullable &&
      integer == kUnwrittenInt64)
    return refuse(row, index, SIDECALL_OUT_OF_RANGE,
                  "an int64 whose bytes are not all 0xA5 (only a nullable feature takes that one)",
                  "that one");
  if (!feature.takes_all()) {
    const double held = is_float32 ? static_cast<double>(static_cast<float>(value)) : value;
    const bool is_taken =
        !feature.is_closed && feature.domain.holds(held) && feature.domain.holds(integer);
    if (const auto refusal = is_taken ? std::nullopt : refusal_of(feature, held, integer))
      return refuse(row, index, refusal->status, refusal->expected, refusal->got);
  }
  write_number(row, feature, value, integer);
  mark_set(row, index);
  return nullptr;
}

const Fault* Call::store_count(int64_t row, int32_t index, const Feature& feature,
                               const DatetimeCount& count, int32_t status_if_too_fine) {
  const char* unit = unit_name(feature.per_second);
  if (count.kind == DatetimeCount::Kind::kTooFine)
    return refuse(row, index, status_if_too_fine,
                  std::string("a datetime of whole ") + unit + " (truncate a finer datetime)",
                  "a finer datetime");
  if (count.kind == DatetimeCount::Kind::kTooFar)
    return refuse(row, index, SIDECALL_OUT_OF_RANGE,
                  std::string("a datetime that int64 can count in ") + unit,
                  "one beyond its range");
  return store(row, index, feature, 0, count.count);
}

const Fault* Call::put_any_f64(int64_t row, int32_t index, const Feature& feature, double value) {
  const bool is_number = feature.dtype != SIDECALL_DTYPE_STRING &&
                         feature.dtype != SIDECALL_DTYPE_BOOL && !feature.is_datetime();
  if (std::isnan(value) && is_number) return put_missing(row, index, feature);
  if (feature.dtype == SIDECALL_DTYPE_INT64) {
    if (std::trunc(value) != value || std::isinf(value))
      return refuse(row, index, SIDECALL_DTYPE_MISMATCH, "int64", "float64");
    if (value < -kTwoTo63 || value >= kTwoTo63)
      return refuse(row, index, SIDECALL_OUT_OF_RANGE, "int64", "a number beyond its range");
    return store(row, index, feature, value, static_cast<int64_t>(value));
  }
  if (!is_number)
    return refuse(row, index, SIDECALL_DTYPE_MISMATCH, expected_by(feature), "float64");
  return store(row, index, feature, value, 0);
}

const Fault* Call::put_i64(int64_t row, int32_t index, const Feature& feature, int64_t value) {
  if (feature.dtype == SIDECALL_DTYPE_BOOL || feature.dtype == SIDECALL_DTYPE_STRING)
    return refuse(row, index, SIDECALL_DTYPE_MISMATCH, dtype_name(feature.dtype), "int64");
  if (feature.is_datetime() && value == kMissingDatetime) return put_missing(row, index, feature);
  return store(row, index, feature, static_cast<double>(value), value);
}

const Fault* Call::put_bool(int64_t row, int32_t index, const Feature& feature, int32_t value) {
  if (feature.dtype != SIDECALL_DTYPE_BOOL)
    return refuse(row, index, SIDECALL_DTYPE_MISMATCH, expected_by(feature), "bool");
  return store(row, index, feature, value, value);
}

const Fault* Call::put_str(int64_t row, int32_t index, const Feature& feature,
                           std::string_view value) {
  if (feature.is_datetime()) {
    Moment moment;
    if (const char* wrong = parse_datetime(value, !feature.zone.empty(), &moment))
      return refuse(row, index, SIDECALL_INVALID_STRING, expected_by(feature), wrong);
    const DatetimeCount count = count_of(moment, feature.per_second);
    return store_count(row, index, feature, count, SIDECALL_INVALID_STRING);
  }
  if (feature.dtype != SIDECALL_DTYPE_STRING)
    return refuse(row, index, SIDECALL_DTYPE_MISMATCH, dtype_name(feature.dtype), "string");
  if (const char* fault = string_fault(value))
    return refuse(row, index, SIDECALL_INVALID_STRING, "string", fault);
  if (feature.is_missing(value)) return put_missing(row, index, feature);
  if (!feature.takes_all()) {
    if (const auto refusal = refusal_of(feature, value))
      return refuse(row, index, refusal->status, refusal->expected, refusal->got);
  }
  context_->set_string(feature.input, row * feature.width + feature.column, value);
  mark_set(row, index);
  return nullptr;
}

const Fault* Call::put_datetime(int64_t row, int32_t index, const Feature& feature,
                                const Moment& value) {
  if (!feature.is_datetime())
    return refuse(row, index, SIDECALL_DTYPE_MISMATCH, dtype_name(feature.dtype), "datetime");
  const DatetimeCount count = count_of(value, feature.per_second);
  return store_count(row, index, feature, count, SIDECALL_OUT_OF_RANGE);
}

const Fault* Call::put_missing(int64_t row, int32_t index, const Feature& feature) {
  if (!feature.nullable)
    return refuse(row, index, SIDECALL_MISSING_VALUE, dtype_name(feature.dtype), "a missing value");
  write_missing(row, feature);
  mark_set(row, index);
  return nullptr;
}

const Feature& Call::idle_feature_at(int64_t row, int32_t feature) {
  require_idle();
  return feature_at(row, feature);
}

const Fault* Call::set_f64(int64_t row, int32_t index, double value) {
  return put_f64(row, index, idle_feature_at(row, index), value);
}

const Fault* Call::set_i64(int64_t row, int32_t index, int64_t value) {
  return put_i64(row, index, idle_feature_at(row, index), value);
}

const Fault* Call::set_bool(int64_t row, int32_t index, int32_t value) {
  const Feature& feature = idle_feature_at(row, index);
  require(value == 0 || value == 1,
          "value: expected 0 or 1: pass value != 0 for a number that stands for true");
  return put_bool(row, index, feature, value);
}

const Fault* Call::set_str(int64_t row, int32_t index, std::string_view value) {
  return put_str(row, index, idle_feature_at(row, index), value);
}

const Fault* Call::set_datetime(int64_t row, int32_t index, const Moment& value) {
  const Feature& feature = idle_feature_at(row, index);
  require(value.nanoseconds >= 0 && value.nanoseconds < kNanosecondsPerSecond,
          "nanoseconds: expected 0 to 999999999: add whole seconds to the seconds");
  return put_datetime(row, index, feature, value);
}

const Fault* Call::set_instant(int64_t row, int32_t index, const Moment& value) {
  const Feature& feature = idle_feature_at(row, index);
  if (feature.is_datetime() && feature.zone.empty()) return refuse_instant(row, index);
  return set_datetime(row, index, value);
}

const Fault* Call::refuse_instant(int64_t row, int32_t index) {
  return set_invalid(row, index, SIDECALL_DTYPE_MISMATCH,
                     "an instant, but the feature has no zone");
}

// A plain number of a record, as text.
const Fault* Call::set_epoch(int64_t row, int32_t index, std::string_view number) {
  const Feature& feature = idle_feature_at(row, index);
  if (!feature.is_datetime())
    return refuse(row, index, SIDECALL_DTYPE_MISMATCH, dtype_name(feature.dtype), "datetime");
  if (feature.epoch_per_second == 0)
    return refuse(row, index, SIDECALL_DTYPE_MISMATCH, expected_by(feature),
                  "a number, for which the contract has no 'epoch'");
  return store_count(row, index, feature,
                     convert_number(number, feature.epoch_per_second, feature.per_second),
                     SIDECALL_OUT_OF_RANGE);
}

const Fault* Call::set_missing(int64_t row, int32_t index) {
  return put_missing(row, index, idle_feature_at(row, index));
}

const Fault* Call::set_invalid(int64_t row, int32_t index, int32_t status, const char* got) {
  if (index == kNoRecord)
    throw Error(kRecords, {SIDECALL_DTYPE_MISMATCH, row, "", "a record", got});
  const Feature& feature = idle_feature_at(row, index);
  return refuse(row, index, status, expected_by(feature), got);
}

const Fault* Call::set_unknown(int64_t row, std::string_view name) {
  require_idle();
  require_contract();
  use_row(row, rows_);
  if (ignore_extra_) return nullptr;
  return remember(kNoFeature, {SIDECALL_UNKNOWN_NAME, row, is_utf8(name) ? std::string(name) : "?",
                               "a feature of the model", "an unknown name"});
}

void Call::write_missing(int64_t row, const Feature& feature) {
  if (feature.tensor_dtype == SIDECALL_DTYPE_STRING) {
    context_->set_string(feature.input, row * feature.width + feature.column,
                         feature.missing_string);
  } else {
    write_number(row, feature, std::nan(""), feature.missing_int);
  }
}

// Called before the caller writes into the memory of an input, so that the values that it does not
// write count as missing. Features that were set keep their values.
void Call::fill_with_missing(int32_t index) {
  const TensorSpec& spec = signature_.inputs[static_cast<size_t>(index)];
  const std::vector<int32_t>& features = signature_.checks[static_cast<size_t>(index)].feature_at;
  if (spec.dtype == SIDECALL_DTYPE_STRING || features.empty()) return;
  const int64_t rows = inputs_[static_cast<size_t>(index)].dims[0];
  for (int64_t row = 0; row < rows; ++row) {
    for (const int32_t at : features) {
      if (has_records_ && row < rows_ && state_at(row, at) == State::kSet) continue;
      const Feature& feature = signature_.features[static_cast<size_t>(at)];
      const int64_t unwritten =
          spec.dtype == SIDECALL_DTYPE_BOOL ? kUnwrittenBool : kUnwrittenInt64;
      const bool is_reserved = feature.nullable || feature.is_datetime();
      write_number(row, feature, std::nan(""), is_reserved ? feature.missing_int : unwritten);
    }
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
  set_failure_ = nullptr;
  has_records_ = false;
  num_set_ = 0;
  faults_.clear();
}

// Before a run over records: features that were not set become missing where that is allowed, and
// are faults otherwise.
void Call::check_records(FaultList* faults) {
  const auto num_features = static_cast<int32_t>(signature_.features.size());
  const bool is_complete = num_set_ == rows_ * num_features;
  if (!faults_.is_empty()) *faults = faults_;
  const auto put = [&](int64_t row, int32_t index, int32_t status, const char* got) {
    if (faults->is_past_end(row, index)) return faults->count();
    const Feature& feature = signature_.features[static_cast<size_t>(index)];
    if (!faults->has(row, index))
      faults->put(index, {status, row, feature.name, dtype_name(feature.dtype), got});
  };
  for (int64_t row = 0; !is_complete && row < rows_; ++row) {
    for (int32_t i = 0; i < num_features; ++i) {
      const Feature& feature = signature_.features[static_cast<size_t>(i)];
      const Input& input = inputs_[static_cast<size_t>(feature.input)];
      const State state = state_at(row, i);
      if (state == State::kRefused) {
        // Only adds a fault if the original one was not kept.
        put(row, i, SIDECALL_DTYPE_MISMATCH, "a value that was refused");
      } else if (state == State::kSet || input.is_given) {
        continue;
      } else if (!feature.nullable) {
        put(row, i, SIDECALL_MISSING_VALUE, "a missing value");
      } else {
        if (input.is_borrowed) allocate(feature.input, input.dims);
        write_missing(row, feature);
      }
    }
  }
}

}  // namespace sidecall
