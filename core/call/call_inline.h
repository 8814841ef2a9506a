// The common path of setting one value, inline because loops over many values take it. Used by
// call_features.cpp and call_many.cpp.
#pragma once

#include <cstring>
#include <vector>

#include "call.h"

namespace sidecall {

template <typename T>
void Call::write_at(void* data, int64_t index, T value) {
  std::memcpy(static_cast<char*>(data) + index * static_cast<int64_t>(sizeof(T)), &value,
              sizeof(T));
}

// Returns the feature. In most calls, its value can be written at once.
inline const Feature& Call::feature_at(int64_t row, int32_t feature) {
  const std::vector<Feature>& features = signature_.features;
  if (!has_records_ || static_cast<size_t>(feature) >= features.size())
    return open_feature(row, feature);
  const Feature& found = features[static_cast<size_t>(feature)];
  const Input& input = inputs_[static_cast<size_t>(found.input)];
  const bool is_ready = row >= 0 && row < rows_ && row < input.dims[0] && !input.is_borrowed;
  return is_ready ? found : open_feature(row, feature);
}

inline void Call::mark_set(int64_t row, int32_t feature) {
  State& state = state_at(row, feature);
  if (state != State::kSet) become_set(row, feature, &state);
}

// The put functions take a feature that feature_at() has made ready for this row.
inline const Fault* Call::put_f64(int64_t row, int32_t index, const Feature& feature,
                                  double value) {
  if (value < feature.plain_low || !(value <= feature.plain_high))
    return put_any_f64(row, index, feature, value);
  void* data = inputs_[static_cast<size_t>(feature.input)].data;
  const int64_t at = row * feature.width + feature.column;
  // Only numbers of a floating-point tensor are plain.
  if (feature.tensor_dtype == SIDECALL_DTYPE_FLOAT32) write_at(data, at, static_cast<float>(value));
  else write_at(data, at, value);
  mark_set(row, index);
  return nullptr;
}

}  // namespace sidecall
