// Writes values of features into the input tensors: single values, rows, and one feature of all
// rows. Refuses values that the model does not accept.
#pragma once

#include <sidecall/binding.h>
#include <sidecall/sidecall.h>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/text/datetime.h"
#include "core/contract/signature.h"
#include "core/error.h"
#include "core/execution_context.h"
#include "feature_states.h"
#include "input_tensors.h"

namespace sidecall {

class FeatureWriter {
 public:
  // All four must outlive this object. `ignore_extra`: see SIDECALL_EXTRA_IGNORE.
  FeatureWriter(const Signature& signature, ExecutionContext& context, FeatureStates& states,
                InputTensors& inputs, bool ignore_extra)
      : signature_(signature),
        context_(context),
        states_(states),
        inputs_(inputs),
        ignore_extra_(ignore_extra) {}

  // Each set function returns what is wrong with its value or name, its refusal; nullptr if nothing
  // is. The refusal is remembered, and the run reports it. What is returned lives until the next
  // set function. Errors that are not remembered are thrown: BUSY, UNKNOWN_NAME for feature -1,
  // INVALID_ARGUMENT, NO_CONTRACT, and the fault of a record that is not an object (set_invalid).
  const Fault* set_f64(int64_t row, int32_t feature, double value) {
    return put_f64(row, feature, idle_feature_at(row, feature), value);
  }
  const Fault* set_i64(int64_t row, int32_t feature, int64_t value);
  const Fault* set_bool(int64_t row, int32_t feature, int32_t value);
  const Fault* set_str(int64_t row, int32_t feature, std::string_view value);
  const Fault* set_datetime(int64_t row, int32_t feature, const Moment& value);
  // Like set_datetime(), but a feature without a time zone refuses it.
  const Fault* set_instant(int64_t row, int32_t feature, const Moment& value);
  const Fault* set_epoch(int64_t row, int32_t feature, std::string_view number);
  const Fault* set_missing(int64_t row, int32_t feature);
  const Fault* set_invalid(int64_t row, int32_t feature, int32_t status, const char* got);
  const Fault* set_unknown(int64_t row, std::string_view name);
  // Throws the refusal, if there is one.
  void raise(const Fault* refusal) const {
    if (refusal != nullptr) throw Error({*refusal}, 1, inputs_.rows() > 1);
  }

  // Several features of a row, and one feature of all rows. They throw the first refusal after all
  // values were tried. If they throw another error than BUSY, runs fail with it too, until
  // Call::clear(), Call::reset() or Call::resize(). `features` may be nullptr for all features;
  // `missing` and `nanoseconds` may be nullptr.
  void set_row(int64_t row, const int32_t* features, const sidecall_value* values, int64_t count);
  void set_row(int64_t row, const int32_t* features, const double* values, int64_t count);
  void set_feature(int32_t feature, const double* values, const uint8_t* missing, int64_t count);
  void set_feature(int32_t feature, const int64_t* values, const uint8_t* missing, int64_t count);
  void set_feature(int32_t feature, const uint8_t* bools, const uint8_t* missing, int64_t count);
  void set_feature(int32_t feature, const char* data, uint64_t data_bytes, const int64_t* offsets,
                   const uint8_t* missing, int64_t count);
  void set_feature(int32_t feature, const int64_t* seconds, const int32_t* nanoseconds,
                   const uint8_t* missing, int64_t count);

  void require_contract() const;

 private:
  const Feature& feature_at(int64_t row, int32_t feature);
  const Feature& idle_feature_at(int64_t row, int32_t feature) {
    context_.require_idle();
    return feature_at(row, feature);
  }
  const Feature& prepare_feature(int64_t row, int32_t feature);
  void use_row(int64_t row, int64_t rows);
  void mark_set(int64_t row, int32_t index, const Feature& feature);

  // The put functions take a feature that feature_at() has made ready for this row.
  const Fault* put_f64(int64_t row, int32_t index, const Feature& feature, double value);
  const Fault* put_any_f64(int64_t row, int32_t index, const Feature& feature, double value);
  const Fault* put_i64(int64_t row, int32_t index, const Feature& feature, int64_t value);
  const Fault* put_bool(int64_t row, int32_t index, const Feature& feature, int32_t value);
  const Fault* put_byte(int64_t row, int32_t index, const Feature& feature, int64_t value);
  const Fault* put_str(int64_t row, int32_t index, const Feature& feature, std::string_view value);
  const Fault* put_datetime(int64_t row, int32_t index, const Feature& feature,
                            const Moment& value);
  const Fault* put_seconds(int64_t row, int32_t index, const Feature& feature, int64_t seconds,
                           int32_t nanoseconds);
  const Fault* put_count(int64_t row, int32_t index, const Feature& feature,
                         const DatetimeCount& count, int32_t status_if_too_fine);
  const Fault* put_number(int64_t row, int32_t index, const Feature& feature, double value,
                          int64_t integer);
  const Fault* put_missing(int64_t row, int32_t index, const Feature& feature);
  const Fault* put_value(int64_t row, int32_t index, const Feature& feature,
                         const sidecall_value& value);
  const Fault* refuse_instant(int64_t row, int32_t index);

  class FirstRefusal;
  template <typename Set>
  void set_many(Set set);
  template <typename Put>
  void put_row(int64_t row, const int32_t* features, int64_t count, FirstRefusal* first, Put put);
  template <typename Put>
  void put_feature(int32_t index, const uint8_t* missing, int64_t count, FirstRefusal* first,
                   Put put);

  const Signature& signature_;
  ExecutionContext& context_;
  FeatureStates& states_;
  InputTensors& inputs_;
  const bool ignore_extra_;
};

// The common path of setting one value is inline, because loops over many values take it.

// Returns the feature. In most calls, its value can be written at once.
inline const Feature& FeatureWriter::feature_at(int64_t row, int32_t feature) {
  const std::vector<Feature>& features = signature_.features;
  if (!states_.is_active() || static_cast<size_t>(feature) >= features.size())
    return prepare_feature(row, feature);
  const Feature& found = features[static_cast<size_t>(feature)];
  const bool is_ready = row >= 0 && row < inputs_.rows() && inputs_.is_writable(found.input, row);
  return is_ready ? found : prepare_feature(row, feature);
}

inline void FeatureWriter::mark_set(int64_t row, int32_t index, const Feature& feature) {
  if (states_.set(row, index)) inputs_.clear_string_fault(feature.input, row, index);
}

inline const Fault* FeatureWriter::put_f64(int64_t row, int32_t index, const Feature& feature,
                                           double value) {
  if (value < feature.plain_low || !(value <= feature.plain_high))
    return put_any_f64(row, index, feature, value);
  inputs_.write_real(row, feature, value);  // only numbers of a floating-point tensor are plain
  mark_set(row, index, feature);
  return nullptr;
}

}  // namespace sidecall
