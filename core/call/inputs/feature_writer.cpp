// Values of features; see feature_writer.h. Used by the C ABI, records.cpp and core/verify.cpp.
#include "feature_writer.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <string>

#include "base/json/fault_json.h"
#include "base/text/utf8.h"
#include "core/call/array_arguments.h"
#include "core/contract/feature_refusal.h"
#include "core/text.h"

namespace sidecall {
namespace {

constexpr int32_t kNoRecord = -1;
constexpr double kTwoTo63 = 9223372036854775808.0;

// What a feature expects, for faults of values that have another type.
std::string expected_by(const Feature& feature) {
  if (!feature.is_datetime()) return dtype_name(feature.dtype);
  return feature.zone.empty() ? "a datetime such as '2026-01-31T12:30:00'"
                              : "a datetime such as '2026-01-31T12:30:00Z'";
}

void require_offsets(const char* data, uint64_t data_bytes, const int64_t* offsets, int64_t count) {
  require(data != nullptr || data_bytes == 0, "data must not be NULL");
  for (int64_t i = 0; i < count; ++i)
    require(offsets[i] <= offsets[i + 1],
            "offsets: expected ascending numbers, got a smaller number after a larger one");
  require(offsets[0] >= 0 && static_cast<uint64_t>(offsets[count]) <= data_bytes,
          "offsets: expected positions in data, got one outside of it");
}

void require_value(const sidecall_value& value) {
  if (value.kind < SIDECALL_VALUE_MISSING || value.kind > SIDECALL_VALUE_INVALID)
    throw Error(SIDECALL_INVALID_ARGUMENT,
                "kind: expected a SIDECALL_VALUE_* number, got " + std::to_string(value.kind));
  const bool has_text = value.kind == SIDECALL_VALUE_STR || value.kind == SIDECALL_VALUE_EPOCH ||
                        value.kind == SIDECALL_VALUE_INVALID;
  require(!has_text || value.text != nullptr || value.length == 0, "text must not be NULL");
  require(value.kind != SIDECALL_VALUE_EPOCH || is_number({value.text, value.length}),
          "text: expected a text such as 12 or 1.5e3, but the text is not a number");
}

}  // namespace

void FeatureWriter::require_contract() const {
  if (!signature_.has_contract)
    throw Error(
        SIDECALL_NO_CONTRACT,
        "records need a contract and the file carries none: export the model with sidecall.export");
}

// Checks the row. From now on, the inputs come from records.
void FeatureWriter::use_row(int64_t row, int64_t rows) {
  if (row < 0 || row >= rows)
    throw Error(SIDECALL_INVALID_ARGUMENT,
                "row: expected 0 to " + std::to_string(rows - 1) + ", got " + std::to_string(row));
  if (!states_.is_active()) states_.start(inputs_.rows());
}

// Makes it possible to write a value of the feature, and checks the arguments.
const Feature& FeatureWriter::prepare_feature(int64_t row, int32_t feature) {
  require_contract();
  if (feature == -1)
    throw Error(SIDECALL_UNKNOWN_NAME,
                "unknown feature: expected the index of a feature, got -1 (not found)");
  if (feature < 0 || static_cast<size_t>(feature) >= signature_.features.size())
    throw Error(SIDECALL_INVALID_ARGUMENT, "feature: expected an index below " +
                                               std::to_string(signature_.features.size()) +
                                               ", got " + std::to_string(feature));
  const Feature& found = signature_.features[static_cast<size_t>(feature)];
  // The caller may have given the tensor a different number of rows; the next run checks that.
  const int64_t rows = inputs_.shapes()[static_cast<size_t>(found.input)][0];
  use_row(row, std::min(inputs_.rows(), rows));
  if (!inputs_.is_borrowed(found.input)) return found;
  if (inputs_.is_set(found.input))
    throw Error(SIDECALL_INVALID_ARGUMENT,
                "feature '" + found.name + "': its input is bound to the caller's memory");
  // The input was bound before a reset: that memory now belongs to the caller alone.
  inputs_.stop_borrowing(found.input);
  return found;
}

// ---- Values of a feature ----

const Fault* FeatureWriter::put_number(int64_t row, int32_t index, const Feature& feature,
                                       double value, int64_t integer) {
  const bool is_float32 = feature.tensor_dtype == SIDECALL_DTYPE_FLOAT32;
  if (is_float32 && is_beyond_float32(value) && !feature.takes_beyond_float32(value))
    return states_.refuse(row, index, SIDECALL_OUT_OF_RANGE, "float32",
                          "a number beyond its range");
  if (feature.tensor_dtype == SIDECALL_DTYPE_INT64 && feature.nullable &&
      integer == feature.missing_int) {
    return states_.refuse(row, index, SIDECALL_OUT_OF_RANGE, dtype_name(feature.dtype),
                          "the number reserved for missing values");
  }
  // Over other routes than a file the tensor is checked as a whole, and nothing tells there that
  // the caller has set this number.
  if (feature.tensor_dtype == SIDECALL_DTYPE_INT64 && !feature.nullable &&
      integer == kUnwrittenInt64)
    return states_.refuse(
        row, index, SIDECALL_OUT_OF_RANGE,
        "an int64 whose bytes are not all 0xA5 (only a nullable feature takes that one)",
        "that one");
  if (!feature.takes_all()) {
    const double held = is_float32 ? static_cast<double>(static_cast<float>(value)) : value;
    const bool is_taken =
        !feature.is_closed && feature.domain.holds(held) && feature.domain.holds(integer);
    if (const auto refusal = is_taken ? std::nullopt : refusal_of(feature, held, integer))
      return states_.refuse(row, index, refusal->status, refusal->expected, refusal->got);
  }
  inputs_.write_number(row, feature, value, integer);
  mark_set(row, index, feature);
  return nullptr;
}

const Fault* FeatureWriter::put_count(int64_t row, int32_t index, const Feature& feature,
                                      const DatetimeCount& count, int32_t status_if_too_fine) {
  const char* unit = unit_name(feature.per_second);
  if (count.kind == DatetimeCount::Kind::kTooFine)
    return states_.refuse(
        row, index, status_if_too_fine,
        std::string("a datetime of whole ") + unit + " (truncate a finer datetime)",
        "a finer datetime");
  if (count.kind == DatetimeCount::Kind::kTooFar)
    return states_.refuse(row, index, SIDECALL_OUT_OF_RANGE,
                          std::string("a datetime that int64 can count in ") + unit,
                          "one beyond its range");
  return put_number(row, index, feature, 0, count.count);
}

const Fault* FeatureWriter::put_any_f64(int64_t row, int32_t index, const Feature& feature,
                                        double value) {
  const bool is_number = feature.dtype != SIDECALL_DTYPE_STRING &&
                         feature.dtype != SIDECALL_DTYPE_BOOL && !feature.is_datetime();
  if (std::isnan(value) && is_number) return put_missing(row, index, feature);
  if (feature.dtype == SIDECALL_DTYPE_INT64) {
    if (std::trunc(value) != value || std::isinf(value))
      return states_.refuse(row, index, SIDECALL_DTYPE_MISMATCH, "int64", "float64");
    if (value < -kTwoTo63 || value >= kTwoTo63)
      return states_.refuse(row, index, SIDECALL_OUT_OF_RANGE, "int64",
                            "a number beyond its range");
    return put_number(row, index, feature, value, static_cast<int64_t>(value));
  }
  if (!is_number)
    return states_.refuse(row, index, SIDECALL_DTYPE_MISMATCH, expected_by(feature), "float64");
  return put_number(row, index, feature, value, 0);
}

const Fault* FeatureWriter::put_i64(int64_t row, int32_t index, const Feature& feature,
                                    int64_t value) {
  if (feature.dtype == SIDECALL_DTYPE_BOOL || feature.dtype == SIDECALL_DTYPE_STRING)
    return states_.refuse(row, index, SIDECALL_DTYPE_MISMATCH, dtype_name(feature.dtype), "int64");
  if (feature.is_datetime() && value == kMissingDatetime) return put_missing(row, index, feature);
  return put_number(row, index, feature, static_cast<double>(value), value);
}

const Fault* FeatureWriter::put_bool(int64_t row, int32_t index, const Feature& feature,
                                     int32_t value) {
  if (feature.dtype != SIDECALL_DTYPE_BOOL)
    return states_.refuse(row, index, SIDECALL_DTYPE_MISMATCH, expected_by(feature), "bool");
  return put_number(row, index, feature, value, value);
}

const Fault* FeatureWriter::put_str(int64_t row, int32_t index, const Feature& feature,
                                    std::string_view value) {
  if (feature.is_datetime()) {
    Moment moment;
    if (const char* wrong = parse_datetime(value, !feature.zone.empty(), &moment))
      return states_.refuse(row, index, SIDECALL_INVALID_STRING, expected_by(feature), wrong);
    const DatetimeCount count = count_of(moment, feature.per_second);
    return put_count(row, index, feature, count, SIDECALL_INVALID_STRING);
  }
  if (feature.dtype != SIDECALL_DTYPE_STRING)
    return states_.refuse(row, index, SIDECALL_DTYPE_MISMATCH, dtype_name(feature.dtype), "string");
  if (const char* fault = string_fault(value))
    return states_.refuse(row, index, SIDECALL_INVALID_STRING, "string", fault);
  if (feature.is_missing(value)) return put_missing(row, index, feature);
  if (!feature.takes_all()) {
    if (const auto refusal = refusal_of(feature, value))
      return states_.refuse(row, index, refusal->status, refusal->expected, refusal->got);
  }
  inputs_.write_string(row, feature, value);
  mark_set(row, index, feature);
  return nullptr;
}

const Fault* FeatureWriter::put_datetime(int64_t row, int32_t index, const Feature& feature,
                                         const Moment& value) {
  if (!feature.is_datetime())
    return states_.refuse(row, index, SIDECALL_DTYPE_MISMATCH, dtype_name(feature.dtype),
                          "datetime");
  const DatetimeCount count = count_of(value, feature.per_second);
  return put_count(row, index, feature, count, SIDECALL_OUT_OF_RANGE);
}

const Fault* FeatureWriter::put_missing(int64_t row, int32_t index, const Feature& feature) {
  if (!feature.nullable)
    return states_.refuse(row, index, SIDECALL_MISSING_VALUE, dtype_name(feature.dtype),
                          "a missing value");
  inputs_.write_missing(row, feature);
  mark_set(row, index, feature);
  return nullptr;
}

// A bool that may be another number.
const Fault* FeatureWriter::put_byte(int64_t row, int32_t index, const Feature& feature,
                                     int64_t value) {
  if (value == 0 || value == 1 || feature.dtype != SIDECALL_DTYPE_BOOL)
    return put_bool(row, index, feature, static_cast<int32_t>(value));
  return states_.refuse(row, index, SIDECALL_OUT_OF_RANGE, "0 or 1 for a bool", "another number");
}

// A datetime whose nanoseconds may be out of range.
const Fault* FeatureWriter::put_seconds(int64_t row, int32_t index, const Feature& feature,
                                        int64_t seconds, int32_t nanoseconds) {
  if ((nanoseconds >= 0 && nanoseconds < kNanosecondsPerSecond) || !feature.is_datetime())
    return put_datetime(row, index, feature, {seconds, nanoseconds});
  return states_.refuse(row, index, SIDECALL_OUT_OF_RANGE, "0 to 999999999 nanoseconds",
                        "another number");
}

const Fault* FeatureWriter::put_value(int64_t row, int32_t index, const Feature& feature,
                                      const sidecall_value& value) {
  const std::string_view text(value.text, value.length);
  switch (value.kind) {
    case SIDECALL_VALUE_F64:
      return put_f64(row, index, feature, value.f64);
    case SIDECALL_VALUE_I64:
      return put_i64(row, index, feature, value.i64);
    case SIDECALL_VALUE_BOOL:
      return put_byte(row, index, feature, value.i64);
    case SIDECALL_VALUE_STR:
      return put_str(row, index, feature, text);
    case SIDECALL_VALUE_DATETIME:
      return put_seconds(row, index, feature, value.i64, value.nanoseconds);
    case SIDECALL_VALUE_INSTANT:
      if (feature.is_datetime() && feature.zone.empty()) return refuse_instant(row, index);
      return put_seconds(row, index, feature, value.i64, value.nanoseconds);
    case SIDECALL_VALUE_EPOCH:
      return set_epoch(row, index, text);
    case SIDECALL_VALUE_INVALID:
      return set_invalid(row, index, SIDECALL_DTYPE_MISMATCH, std::string(text).c_str());
    default:
      return put_missing(row, index, feature);
  }
}

// ---- Single values ----

const Fault* FeatureWriter::set_i64(int64_t row, int32_t index, int64_t value) {
  return put_i64(row, index, idle_feature_at(row, index), value);
}

const Fault* FeatureWriter::set_bool(int64_t row, int32_t index, int32_t value) {
  const Feature& feature = idle_feature_at(row, index);
  require(value == 0 || value == 1,
          "value: expected 0 or 1: pass value != 0 for a number that stands for true");
  return put_bool(row, index, feature, value);
}

const Fault* FeatureWriter::set_str(int64_t row, int32_t index, std::string_view value) {
  return put_str(row, index, idle_feature_at(row, index), value);
}

const Fault* FeatureWriter::set_datetime(int64_t row, int32_t index, const Moment& value) {
  const Feature& feature = idle_feature_at(row, index);
  require(value.nanoseconds >= 0 && value.nanoseconds < kNanosecondsPerSecond,
          "nanoseconds: expected 0 to 999999999: add whole seconds to the seconds");
  return put_datetime(row, index, feature, value);
}

const Fault* FeatureWriter::set_instant(int64_t row, int32_t index, const Moment& value) {
  const Feature& feature = idle_feature_at(row, index);
  if (feature.is_datetime() && feature.zone.empty()) return refuse_instant(row, index);
  return set_datetime(row, index, value);
}

const Fault* FeatureWriter::refuse_instant(int64_t row, int32_t index) {
  return set_invalid(row, index, SIDECALL_DTYPE_MISMATCH,
                     "an instant, but the feature has no zone");
}

// A plain number of a record, as text.
const Fault* FeatureWriter::set_epoch(int64_t row, int32_t index, std::string_view number) {
  const Feature& feature = idle_feature_at(row, index);
  if (!feature.is_datetime())
    return states_.refuse(row, index, SIDECALL_DTYPE_MISMATCH, dtype_name(feature.dtype),
                          "datetime");
  if (feature.epoch_per_second == 0)
    return states_.refuse(row, index, SIDECALL_DTYPE_MISMATCH, expected_by(feature),
                          "a number, for which the contract has no 'epoch'");
  return put_count(row, index, feature,
                   convert_number(number, feature.epoch_per_second, feature.per_second),
                   SIDECALL_OUT_OF_RANGE);
}

const Fault* FeatureWriter::set_missing(int64_t row, int32_t index) {
  return put_missing(row, index, idle_feature_at(row, index));
}

const Fault* FeatureWriter::set_invalid(int64_t row, int32_t index, int32_t status,
                                        const char* got) {
  if (index == kNoRecord)
    throw Error(kRecords, {SIDECALL_DTYPE_MISMATCH, row, "", "a record", got});
  const Feature& feature = idle_feature_at(row, index);
  return states_.refuse(row, index, status, expected_by(feature), got);
}

const Fault* FeatureWriter::set_unknown(int64_t row, std::string_view name) {
  context_.require_idle();
  require_contract();
  use_row(row, inputs_.rows());
  if (ignore_extra_) return nullptr;
  return states_.refuse_name({SIDECALL_UNKNOWN_NAME, row, is_utf8(name) ? std::string(name) : "?",
                              "a feature of the model", "an unknown name"});
}

// ---- Many values ----

// Keeps the first refusal of several values; the states keep only the last one.
class FeatureWriter::FirstRefusal {
 public:
  void note(const Fault* refusal) {
    if (refusal != nullptr && fault_.status == SIDECALL_OK) fault_ = *refusal;
  }
  const Fault* get() const { return fault_.status == SIDECALL_OK ? nullptr : &fault_; }

 private:
  Fault fault_{SIDECALL_OK, -1, "", "", ""};
};

// Sets values, and throws the first refusal. If `set` throws, so does the next run: it must not
// answer for the values of before.
template <typename Set>
void FeatureWriter::set_many(Set set) {
  context_.require_idle();
  FirstRefusal first;
  try {
    set(&first);
  } catch (...) {
    states_.set_failure(std::current_exception());
    throw;
  }
  raise(first.get());
}

// Checks the indices before the first value is set, unless all features of the row are known to be
// ready. `put` sets value number `at`.
template <typename Put>
void FeatureWriter::put_row(int64_t row, const int32_t* features, int64_t count,
                            FirstRefusal* first, Put put) {
  const auto are_all_ready = [&] {
    return states_.is_active() && row >= 0 && row < inputs_.rows() && inputs_.are_all_writable(row);
  };
  if (features != nullptr || !are_all_ready()) {
    for (int64_t at = 0; at < count; ++at) feature_at(row, index_at(features, at));
  }
  // All features of the only row are set, so no value of an earlier record is left.
  if (features == nullptr && inputs_.rows() == 1) states_.clear_failure();
  for (int64_t at = 0; at < count; ++at) {
    const int32_t index = index_at(features, at);
    first->note(put(index, signature_.features[static_cast<size_t>(index)], at));
  }
}

void FeatureWriter::set_row(int64_t row, const int32_t* features, const double* values,
                            int64_t count) {
  set_many([&](FirstRefusal* first) {
    require_contract();
    require_count(count, signature_.features.size(), features != nullptr);
    require_array(values, count, "values must not be NULL");
    put_row(row, features, count, first, [&](int32_t index, const Feature& feature, int64_t at) {
      return put_f64(row, index, feature, values[at]);
    });
  });
}

void FeatureWriter::set_row(int64_t row, const int32_t* features, const sidecall_value* values,
                            int64_t count) {
  set_many([&](FirstRefusal* first) {
    require_contract();
    require_count(count, signature_.features.size(), features != nullptr);
    require_array(values, count, "values must not be NULL");
    for (int64_t at = 0; at < count; ++at) require_value(values[at]);
    put_row(row, features, count, first, [&](int32_t index, const Feature& feature, int64_t at) {
      const sidecall_value& value = values[at];
      if (value.kind == SIDECALL_VALUE_F64) return put_f64(row, index, feature, value.f64);
      return put_value(row, index, feature, value);
    });
  });
}

// Checks the index and `count` before the first value is set. `put` sets the value of a row.
template <typename Put>
void FeatureWriter::put_feature(int32_t index, const uint8_t* missing, int64_t count,
                                FirstRefusal* first, Put put) {
  require_contract();
  require_rows(count, inputs_.rows());
  const Feature& feature = feature_at(0, index);
  feature_at(inputs_.rows() - 1, index);  // a tensor that was given may have fewer rows
  for (int64_t row = 0; row < count; ++row) {
    const bool is_missing = missing != nullptr && missing[row] != 0;
    first->note(is_missing ? put_missing(row, index, feature) : put(feature, row));
  }
}

void FeatureWriter::set_feature(int32_t index, const double* values, const uint8_t* missing,
                                int64_t count) {
  set_many([&](FirstRefusal* first) {
    require_array(values, count, "values must not be NULL");
    put_feature(index, missing, count, first, [&](const Feature& feature, int64_t row) {
      return put_f64(row, index, feature, values[row]);
    });
  });
}

void FeatureWriter::set_feature(int32_t index, const int64_t* values, const uint8_t* missing,
                                int64_t count) {
  set_many([&](FirstRefusal* first) {
    require_array(values, count, "values must not be NULL");
    put_feature(index, missing, count, first, [&](const Feature& feature, int64_t row) {
      return put_i64(row, index, feature, values[row]);
    });
  });
}

void FeatureWriter::set_feature(int32_t index, const uint8_t* bools, const uint8_t* missing,
                                int64_t count) {
  set_many([&](FirstRefusal* first) {
    require_array(bools, count, "values must not be NULL");
    put_feature(index, missing, count, first, [&](const Feature& feature, int64_t row) {
      return put_byte(row, index, feature, bools[row]);
    });
  });
}

void FeatureWriter::set_feature(int32_t index, const char* data, uint64_t data_bytes,
                                const int64_t* offsets, const uint8_t* missing, int64_t count) {
  set_many([&](FirstRefusal* first) {
    require_rows(count, inputs_.rows());
    require(offsets != nullptr, "offsets must not be NULL");
    require_offsets(data, data_bytes, offsets, count);
    put_feature(index, missing, count, first, [&](const Feature& feature, int64_t row) {
      const auto length = static_cast<size_t>(offsets[row + 1] - offsets[row]);
      const std::string_view none;
      return put_str(row, index, feature,
                     length == 0 ? none : std::string_view(data + offsets[row], length));
    });
  });
}

void FeatureWriter::set_feature(int32_t index, const int64_t* seconds, const int32_t* nanoseconds,
                                const uint8_t* missing, int64_t count) {
  set_many([&](FirstRefusal* first) {
    require_array(seconds, count, "seconds must not be NULL");
    put_feature(index, missing, count, first, [&](const Feature& feature, int64_t row) {
      const int32_t fraction = nanoseconds == nullptr ? 0 : nanoseconds[row];
      return put_seconds(row, index, feature, seconds[row], fraction);
    });
  });
}

}  // namespace sidecall
