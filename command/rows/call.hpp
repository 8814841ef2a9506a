// The reusable call of predict and `diff --rows`. Plain values are written directly into the memory
// that the engine reads; all other values go through the setters of the library, which report what
// they refuse.
#pragma once

#include <array>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "model/model.hpp"

namespace sidecall::cli {

class RowCall {
 public:
  RowCall(const Model& model, int64_t timeout_ns);

  // Prepares the call for the values of `rows` rows. If `direct` is false, each value goes through
  // a setter, so that the run reports every fault.
  void start(int64_t rows, bool direct);

  // Where the values of a feature may be written directly. Only for floating-point features in a
  // floating-point tensor.
  struct Place {
    char* first = nullptr;  // place of row 0; NULL if the setters must be used
    size_t row_bytes = 0;
    bool is_double = false;
  };
  const Place& place(int32_t feature) const { return places_[static_cast<size_t>(feature)]; }
  static void write(const Place& place, int64_t row, double value) {
    char* at = place.first + static_cast<size_t>(row) * place.row_bytes;
    if (place.is_double) {
      std::memcpy(at, &value, sizeof value);
    } else {
      const auto narrow = static_cast<float>(value);
      std::memcpy(at, &narrow, sizeof narrow);
    }
  }

  // Return false if the value was refused; the run reports the reason.
  bool set_number(int64_t row, int32_t feature, std::string_view text, const char* got_otherwise);
  bool set_text(int64_t row, int32_t feature, std::string_view text);
  bool set_bool(int64_t row, int32_t feature, bool value);
  bool set_missing(int64_t row, int32_t feature);
  bool set_invalid(int64_t row, int32_t feature, const char* got);

  sidecall_status run();

  // The error of the last run that failed, or of the last failed attempt to read its answers.
  const sidecall_error& error() const { return err_; }
  sidecall_error* error_room() { return &err_; }
  size_t num_faults() const;  // the number of faults that were kept
  const sidecall_fault& fault(size_t index) const { return faults_[index]; }

  sidecall_call* get() const { return call_.get(); }
  const sidecall_model* model() const { return model_.get(); }
  int32_t num_features() const { return static_cast<int32_t>(places_.size()); }
  const sidecall_feature_spec& feature(int32_t index) const {
    return *features_[static_cast<size_t>(index)];
  }

 private:
  static constexpr size_t kMaxFaults = 64;

  void find_places();
  void check(sidecall_status status) const;

  const Model& model_;
  int64_t timeout_ns_;
  Call call_;
  std::vector<const sidecall_feature_spec*> features_;
  std::vector<Place> places_;
  bool all_direct_ = true;
  sidecall_error err_;
  std::array<sidecall_fault, kMaxFaults> faults_;
};

}  // namespace sidecall::cli
