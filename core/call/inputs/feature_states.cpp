// States of features; see feature_states.h. Used by feature_writer.cpp, input_tensors.cpp and
// input_checks.cpp.
#include "feature_states.h"

#include <algorithm>

namespace sidecall {
namespace {

// The place of a name that is not a feature: its fault comes last in its row.
constexpr int32_t kNoFeature = INT32_MAX;

}  // namespace

void FeatureStates::start(int64_t rows) {
  states_.assign(static_cast<size_t>(rows) * num_features_, State::kUnset);
  num_set_ = 0;
  is_active_ = true;
}

void FeatureStates::forget() noexcept {
  failure_ = nullptr;
  is_active_ = false;
  num_set_ = 0;
  refusals_.clear();
}

void FeatureStates::unset_input(int32_t input) {
  if (!is_active_) return;
  for (size_t feature = 0; feature < num_features_; ++feature) {
    if (signature_.features[feature].input != input) continue;
    for (size_t at = feature; at < states_.size(); at += num_features_) {
      if (states_[at] != State::kSet) continue;
      states_[at] = State::kUnset;
      --num_set_;
    }
  }
}

const Fault* FeatureStates::refuse(int64_t row, int32_t feature, int32_t status,
                                   const std::string& expected, const char* got) {
  State& state = states_[index_of(row, feature)];
  if (state == State::kSet) --num_set_;
  state = State::kRefused;
  last_ = {status, row, signature_.features[static_cast<size_t>(feature)].name, expected, got};
  if (!refusals_.is_full() || refusals_.has(row, feature)) refusals_.put(feature, last_);
  return &last_;
}

const Fault* FeatureStates::refuse_name(const Fault& fault) {
  if (!refusals_.is_full() || refusals_.has(fault.row, kNoFeature, fault.name))
    refusals_.put(kNoFeature, fault, fault.name);
  else refusals_.count();
  last_ = fault;
  return &last_;
}

}  // namespace sidecall
