// Which features of which rows were set or refused, for inputs that come from records.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#include "core/call/fault_list.h"
#include "core/contract/signature.h"
#include "core/error.h"

namespace sidecall {

class FeatureStates {
 public:
  enum class State : uint8_t { kUnset, kSet, kRefused };

  // The signature must outlive this object.
  explicit FeatureStates(const Signature& signature)
      : signature_(signature), num_features_(signature.features.size()) {}

  // Whether inputs come from records: start() was called, and forget() was not called since.
  bool is_active() const noexcept { return is_active_; }
  // Begins records of this many rows; all features are unset.
  void start(int64_t rows);
  // Forgets all states and refusals; inputs come from tensors only.
  void forget() noexcept;

  // Only while is_active():
  State at(int64_t row, int32_t feature) const { return states_[index_of(row, feature)]; }
  bool is_set(int64_t row, int32_t feature) const { return at(row, feature) == State::kSet; }
  bool is_complete() const noexcept { return num_set_ == states_.size(); }  // all are set

  // Forgets the refusal of the feature, if there is one. Returns false if it was set before.
  bool set(int64_t row, int32_t feature) {
    State& state = states_[index_of(row, feature)];
    if (state == State::kSet) return false;
    if (state == State::kRefused) refusals_.remove(row, feature);
    state = State::kSet;
    ++num_set_;
    return true;
  }
  // Called when the values of an input are lost: its features must be set again.
  void unset_input(int32_t input);
  // Both remember the refusal, and return it. What they return lives until the next refusal.
  const Fault* refuse(int64_t row, int32_t feature, int32_t status, const std::string& expected,
                      const char* got);
  const Fault* refuse_name(const Fault& fault);  // of a name that is not a feature
  const FaultList& refusals() const noexcept { return refusals_; }

  // Why many values were not set: runs fail with it.
  void set_failure(std::exception_ptr failure) noexcept { failure_ = std::move(failure); }
  void clear_failure() noexcept { failure_ = nullptr; }
  void rethrow_failure() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  size_t index_of(int64_t row, int32_t feature) const noexcept {
    return static_cast<size_t>(row) * num_features_ + static_cast<size_t>(feature);
  }

  const Signature& signature_;
  const size_t num_features_;
  bool is_active_ = false;
  std::vector<State> states_;  // rows * features, row by row
  size_t num_set_ = 0;
  // By feature. If a refusal was not kept because the list is full, states_ still holds kRefused.
  FaultList refusals_;
  Fault last_;  // the last refusal
  std::exception_ptr failure_;
};

}  // namespace sidecall
