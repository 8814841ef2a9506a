// sidecall_call_set_* and sidecall_call_get_*, the values of records: checks pointers and forwards
// to core/call/call.h.
#include <sidecall/binding.h>

#include "core/abi/guard.h"
#include "core/abi/handles.h"
#include "core/call/call.h"
#include "core/text.h"

using sidecall::FeatureWriter;
using sidecall::guard;
using sidecall::require;
using sidecall::use;

namespace {

// Sets one value and reports its refusal.
template <typename Set>
sidecall_status set(sidecall_call* call, sidecall_error* err, Set set) {
  return guard(err, [&] {
    FeatureWriter& features = use(call).features();
    features.raise(set(features));
  });
}

}  // namespace

extern "C" {

sidecall_status sidecall_call_set_f64(sidecall_call* call, int64_t row, int32_t feature,
                                      double value, sidecall_error* err) {
  return set(call, err,
             [&](FeatureWriter& features) { return features.set_f64(row, feature, value); });
}

sidecall_status sidecall_call_set_i64(sidecall_call* call, int64_t row, int32_t feature,
                                      int64_t value, sidecall_error* err) {
  return set(call, err,
             [&](FeatureWriter& features) { return features.set_i64(row, feature, value); });
}

sidecall_status sidecall_call_set_bool(sidecall_call* call, int64_t row, int32_t feature,
                                       int32_t value, sidecall_error* err) {
  return set(call, err,
             [&](FeatureWriter& features) { return features.set_bool(row, feature, value); });
}

sidecall_status sidecall_call_set_str(sidecall_call* call, int64_t row, int32_t feature,
                                      const char* value, size_t length, sidecall_error* err) {
  return set(call, err, [&](FeatureWriter& features) {
    require(value != nullptr || length == 0, "value must not be NULL");
    return features.set_str(row, feature, {value, length});
  });
}

sidecall_status sidecall_call_set_datetime(sidecall_call* call, int64_t row, int32_t feature,
                                           int64_t seconds, int32_t nanoseconds,
                                           sidecall_error* err) {
  return set(call, err, [&](FeatureWriter& features) {
    return features.set_datetime(row, feature, {seconds, nanoseconds});
  });
}

sidecall_status sidecall_call_set_instant(sidecall_call* call, int64_t row, int32_t feature,
                                          int64_t seconds, int32_t nanoseconds,
                                          sidecall_error* err) {
  return set(call, err, [&](FeatureWriter& features) {
    return features.set_instant(row, feature, {seconds, nanoseconds});
  });
}

sidecall_status sidecall_call_set_epoch(sidecall_call* call, int64_t row, int32_t feature,
                                        const char* number, size_t length, sidecall_error* err) {
  return set(call, err, [&](FeatureWriter& features) {
    require(number != nullptr, "number must not be NULL");
    require(sidecall::is_number({number, length}),
            "number: expected a text such as 12 or 1.5e3, but the text is not a number");
    return features.set_epoch(row, feature, {number, length});
  });
}

sidecall_status sidecall_call_set_missing(sidecall_call* call, int64_t row, int32_t feature,
                                          sidecall_error* err) {
  return set(call, err,
             [&](FeatureWriter& features) { return features.set_missing(row, feature); });
}

sidecall_status sidecall_call_set_invalid(sidecall_call* call, int64_t row, int32_t feature,
                                          const char* got, sidecall_error* err) {
  return set(call, err, [&](FeatureWriter& features) {
    require(got != nullptr, "got must not be NULL");
    return features.set_invalid(row, feature, SIDECALL_DTYPE_MISMATCH, got);
  });
}

sidecall_status sidecall_call_set_unknown(sidecall_call* call, int64_t row, const char* name,
                                          size_t length, sidecall_error* err) {
  return set(call, err, [&](FeatureWriter& features) {
    require(name != nullptr || length == 0, "name must not be NULL");
    return features.set_unknown(row, {name, length});
  });
}

sidecall_status sidecall_call_clear(sidecall_call* call, sidecall_error* err) {
  return guard(err, [&] { use(call).clear(); });
}

sidecall_status sidecall_call_set_row(sidecall_call* call, int64_t row, const int32_t* features,
                                      const sidecall_value* values, int64_t count,
                                      sidecall_error* err) {
  return guard(err, [&] { use(call).features().set_row(row, features, values, count); });
}

sidecall_status sidecall_call_set_row_f64(sidecall_call* call, int64_t row, const int32_t* features,
                                          const double* values, int64_t count,
                                          sidecall_error* err) {
  return guard(err, [&] { use(call).features().set_row(row, features, values, count); });
}

sidecall_status sidecall_call_set_feature_f64(sidecall_call* call, int32_t feature,
                                              const double* values, const uint8_t* missing,
                                              int64_t count, sidecall_error* err) {
  return guard(err, [&] { use(call).features().set_feature(feature, values, missing, count); });
}

sidecall_status sidecall_call_set_feature_i64(sidecall_call* call, int32_t feature,
                                              const int64_t* values, const uint8_t* missing,
                                              int64_t count, sidecall_error* err) {
  return guard(err, [&] { use(call).features().set_feature(feature, values, missing, count); });
}

sidecall_status sidecall_call_set_feature_bool(sidecall_call* call, int32_t feature,
                                               const uint8_t* values, const uint8_t* missing,
                                               int64_t count, sidecall_error* err) {
  return guard(err, [&] { use(call).features().set_feature(feature, values, missing, count); });
}

sidecall_status sidecall_call_set_feature_str(sidecall_call* call, int32_t feature,
                                              const char* data, uint64_t data_bytes,
                                              const int64_t* offsets, const uint8_t* missing,
                                              int64_t count, sidecall_error* err) {
  return guard(err, [&] {
    use(call).features().set_feature(feature, data, data_bytes, offsets, missing, count);
  });
}

sidecall_status sidecall_call_set_feature_datetime(sidecall_call* call, int32_t feature,
                                                   const int64_t* seconds,
                                                   const int32_t* nanoseconds,
                                                   const uint8_t* missing, int64_t count,
                                                   sidecall_error* err) {
  return guard(err, [&] {
    use(call).features().set_feature(feature, seconds, nanoseconds, missing, count);
  });
}

sidecall_status sidecall_call_get_f64(sidecall_call* call, int64_t row, int32_t column,
                                      double* out_value, sidecall_error* err) {
  return guard(err, [&] {
    require(out_value != nullptr, "out_value must not be NULL");
    *out_value = use(call).columns().get_f64(row, column);
  });
}

sidecall_status sidecall_call_get_i64(sidecall_call* call, int64_t row, int32_t column,
                                      int64_t* out_value, sidecall_error* err) {
  return guard(err, [&] {
    require(out_value != nullptr, "out_value must not be NULL");
    *out_value = use(call).columns().get_i64(row, column);
  });
}

sidecall_status sidecall_call_get_str(sidecall_call* call, int64_t row, int32_t column,
                                      const char** out_value, size_t* out_length,
                                      sidecall_error* err) {
  if (out_value != nullptr) *out_value = nullptr;
  return guard(err, [&] {
    require(out_value != nullptr && out_length != nullptr,
            "out_value and out_length must not be NULL");
    const std::string_view text = use(call).columns().get_str(row, column);
    *out_value = text.data();
    *out_length = text.size();
  });
}

sidecall_status sidecall_call_get_row(sidecall_call* call, int64_t row, const int32_t* columns,
                                      sidecall_value* out_values, int64_t count,
                                      sidecall_error* err) {
  return guard(err, [&] { use(call).columns().get_row(row, columns, out_values, count); });
}

sidecall_status sidecall_call_get_row_f64(sidecall_call* call, int64_t row, const int32_t* columns,
                                          double* out_values, int64_t count, sidecall_error* err) {
  return guard(err, [&] { use(call).columns().get_row(row, columns, out_values, count); });
}

sidecall_status sidecall_call_get_column_f64(sidecall_call* call, int32_t column,
                                             double* out_values, int64_t count,
                                             sidecall_error* err) {
  return guard(err, [&] { use(call).columns().get_column(column, out_values, count); });
}

sidecall_status sidecall_call_get_column_i64(sidecall_call* call, int32_t column,
                                             int64_t* out_values, int64_t count,
                                             sidecall_error* err) {
  return guard(err, [&] { use(call).columns().get_column(column, out_values, count); });
}

sidecall_status sidecall_call_get_column_str(sidecall_call* call, int32_t column,
                                             const char** out_values, size_t* out_lengths,
                                             int64_t count, sidecall_error* err) {
  return guard(err,
               [&] { use(call).columns().get_column(column, out_values, out_lengths, count); });
}

}  // extern "C"
