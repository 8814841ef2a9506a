// Sets many values of a call with one function: several features of a row, and one feature of all
// rows. Each value is treated as by the function for a single value.
#include <sidecall/binding.h>

#include <algorithm>
#include <exception>

#include "array_arguments.h"
#include "call_inline.h"
#include "core/text.h"

namespace sidecall {
namespace {

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

// Keeps the first refusal of several values; the call keeps only the last one.
class Call::First {
 public:
  void see(const Fault* refusal) {
    if (refusal != nullptr && fault_.status == SIDECALL_OK) fault_ = *refusal;
  }
  const Fault* get() const { return fault_.status == SIDECALL_OK ? nullptr : &fault_; }

 private:
  Fault fault_{SIDECALL_OK, -1, "", "", ""};
};

// Sets values, and throws the first refusal. If `set` throws, so does the next run: it must not
// answer for the values of before.
template <typename Set>
void Call::set_many(Set set) {
  require_idle();
  First first;
  try {
    set(&first);
  } catch (...) {
    set_failure_ = std::current_exception();
    throw;
  }
  raise(first.get());
}

// Whether feature_at() would return all features of the row at once.
bool Call::are_ready(int64_t row) const {
  if (!has_records_ || row < 0 || row >= rows_) return false;
  return std::all_of(inputs_.begin(), inputs_.end(), [&](const Input& input) {
    return !input.dims.empty() && row < input.dims[0] && !input.is_borrowed;
  });
}

// Checks the indices before the first value is set. `put` sets value number `at`.
template <typename Put>
void Call::put_row(int64_t row, const int32_t* features, int64_t count, First* first, Put put) {
  if (features != nullptr || !are_ready(row)) {
    for (int64_t at = 0; at < count; ++at) feature_at(row, index_at(features, at));
  }
  // All features of the only row are set, so no value of an earlier record is left.
  if (features == nullptr && rows_ == 1) set_failure_ = nullptr;
  for (int64_t at = 0; at < count; ++at) {
    const int32_t index = index_at(features, at);
    first->see(put(index, signature_.features[static_cast<size_t>(index)], at));
  }
}

void Call::set_row(int64_t row, const int32_t* features, const double* values, int64_t count) {
  set_many([&](First* first) {
    require_contract();
    require_count(count, signature_.features.size(), features != nullptr);
    require_array(values, count, "values must not be NULL");
    put_row(row, features, count, first, [&](int32_t index, const Feature& feature, int64_t at) {
      return put_f64(row, index, feature, values[at]);
    });
  });
}

void Call::set_row(int64_t row, const int32_t* features, const sidecall_value* values,
                   int64_t count) {
  set_many([&](First* first) {
    require_contract();
    require_count(count, signature_.features.size(), features != nullptr);
    require_array(values, count, "values must not be NULL");
    for (int64_t at = 0; at < count; ++at) require_value(values[at]);
    put_row(row, features, count, first, [&](int32_t index, const Feature& feature, int64_t at) {
      const sidecall_value& value = values[at];
      if (value.kind == SIDECALL_VALUE_F64) return put_f64(row, index, feature, value.f64);
      return put(row, index, feature, value);
    });
  });
}

const Fault* Call::put(int64_t row, int32_t index, const Feature& feature,
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

// A bool that may be another number.
const Fault* Call::put_byte(int64_t row, int32_t index, const Feature& feature, int64_t value) {
  if (value == 0 || value == 1 || feature.dtype != SIDECALL_DTYPE_BOOL)
    return put_bool(row, index, feature, static_cast<int32_t>(value));
  return refuse(row, index, SIDECALL_OUT_OF_RANGE, "0 or 1 for a bool", "another number");
}

// A datetime whose nanoseconds may be out of range.
const Fault* Call::put_seconds(int64_t row, int32_t index, const Feature& feature, int64_t seconds,
                               int32_t nanoseconds) {
  if ((nanoseconds >= 0 && nanoseconds < kNanosecondsPerSecond) || !feature.is_datetime())
    return put_datetime(row, index, feature, {seconds, nanoseconds});
  return refuse(row, index, SIDECALL_OUT_OF_RANGE, "0 to 999999999 nanoseconds", "another number");
}

// Checks the index and `count` before the first value is set. `put` sets the value of a row.
template <typename Put>
void Call::put_feature(int32_t index, const uint8_t* missing, int64_t count, First* first,
                       Put put) {
  require_contract();
  require_rows(count, rows_);
  const Feature& feature = feature_at(0, index);
  feature_at(rows_ - 1, index);  // a tensor that was given may have fewer rows
  for (int64_t row = 0; row < count; ++row) {
    const bool is_missing = missing != nullptr && missing[row] != 0;
    first->see(is_missing ? put_missing(row, index, feature) : put(feature, row));
  }
}

void Call::set_feature(int32_t index, const double* values, const uint8_t* missing, int64_t count) {
  set_many([&](First* first) {
    require_array(values, count, "values must not be NULL");
    put_feature(index, missing, count, first, [&](const Feature& feature, int64_t row) {
      return put_f64(row, index, feature, values[row]);
    });
  });
}

void Call::set_feature(int32_t index, const int64_t* values, const uint8_t* missing,
                       int64_t count) {
  set_many([&](First* first) {
    require_array(values, count, "values must not be NULL");
    put_feature(index, missing, count, first, [&](const Feature& feature, int64_t row) {
      return put_i64(row, index, feature, values[row]);
    });
  });
}

void Call::set_feature(int32_t index, const uint8_t* bools, const uint8_t* missing, int64_t count) {
  set_many([&](First* first) {
    require_array(bools, count, "values must not be NULL");
    put_feature(index, missing, count, first, [&](const Feature& feature, int64_t row) {
      return put_byte(row, index, feature, bools[row]);
    });
  });
}

void Call::set_feature(int32_t index, const char* data, uint64_t data_bytes, const int64_t* offsets,
                       const uint8_t* missing, int64_t count) {
  set_many([&](First* first) {
    require_rows(count, rows_);
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

void Call::set_feature(int32_t index, const int64_t* seconds, const int32_t* nanoseconds,
                       const uint8_t* missing, int64_t count) {
  set_many([&](First* first) {
    require_array(seconds, count, "seconds must not be NULL");
    put_feature(index, missing, count, first, [&](const Feature& feature, int64_t row) {
      const int32_t rest = nanoseconds == nullptr ? 0 : nanoseconds[row];
      return put_seconds(row, index, feature, seconds[row], rest);
    });
  });
}

}  // namespace sidecall
