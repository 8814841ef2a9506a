// Fills and runs the reusable call of predict; see call.hpp.
#include "call.hpp"

#include <sidecall/binding.h>

#include <algorithm>

#include "text.hpp"

namespace sidecall::cli {
namespace {

bool is_floating(int32_t dtype) {
  return dtype == SIDECALL_DTYPE_FLOAT32 || dtype == SIDECALL_DTYPE_FLOAT64;
}

}  // namespace

RowCall::RowCall(const Model& model, int64_t timeout_ns)
    : model_(model), timeout_ns_(timeout_ns), err_(SIDECALL_ERROR_INIT) {
  err_.faults = faults_.data();
  err_.faults_capacity = kMaxFaults;
  sidecall_call* call = nullptr;
  check(sidecall_call_open(model.get(), 1, &call, &err_));
  call_.reset(call);
  places_.resize(static_cast<size_t>(sidecall_model_num_features(model.get())));
  for (int32_t i = 0; i < num_features(); ++i) {
    features_.push_back(sidecall_model_feature_spec(model.get(), i));
    const sidecall_tensor_spec* input = sidecall_model_input_spec(model.get(), feature(i).input);
    all_direct_ = all_direct_ && is_floating(feature(i).dtype) && is_floating(input->dtype);
  }
}

void RowCall::start(int64_t rows, bool direct) {
  check(sidecall_call_resize(call_.get(), rows, &err_));
  check(direct && all_direct_ ? sidecall_call_reset(call_.get(), &err_)
                              : sidecall_call_clear(call_.get(), &err_));
  std::fill(places_.begin(), places_.end(), Place());
  if (direct) find_places();
}

void RowCall::find_places() {
  for (int32_t input = 0; input < sidecall_model_num_inputs(model_.get()); ++input) {
    sidecall_view view = SIDECALL_VIEW_INIT;
    for (int32_t i = 0; i < num_features(); ++i) {
      if (feature(i).input != input || !is_floating(feature(i).dtype)) continue;
      if (view.data == nullptr) {
        if (!is_floating(sidecall_model_input_spec(model_.get(), input)->dtype)) break;
        check(sidecall_call_input(call_.get(), input, &view, &err_));
      }
      const bool is_double = view.dtype == SIDECALL_DTYPE_FLOAT64;
      const size_t element = is_double ? sizeof(double) : sizeof(float);
      const auto width = static_cast<size_t>(view.rank < 2 ? 1 : view.dims[1]);
      places_[static_cast<size_t>(i)] = {
          static_cast<char*>(view.data) + static_cast<size_t>(feature(i).column) * element,
          width * element, is_double};
    }
  }
}

bool RowCall::set_number(int64_t row, int32_t feature, std::string_view text,
                         const char* got_otherwise) {
  const Number number = parse_number(text);
  if (this->feature(feature).dtype == SIDECALL_DTYPE_DATETIME &&
      number.kind != Number::Kind::kNone) {
    return sidecall_call_set_epoch(call_.get(), row, feature, text.data(), text.size(), nullptr) ==
           SIDECALL_OK;
  }
  switch (number.kind) {
    case Number::Kind::kInteger:
      return sidecall_call_set_i64(call_.get(), row, feature, number.integer, nullptr) ==
             SIDECALL_OK;
    case Number::Kind::kReal:
      return sidecall_call_set_f64(call_.get(), row, feature, number.real, nullptr) == SIDECALL_OK;
    case Number::Kind::kTooLarge:
      return set_invalid(row, feature, "a number beyond its range");
    default:
      return set_invalid(row, feature, got_otherwise);
  }
}

bool RowCall::set_text(int64_t row, int32_t feature, std::string_view text) {
  return sidecall_call_set_str(call_.get(), row, feature, text.data(), text.size(), nullptr) ==
         SIDECALL_OK;
}

bool RowCall::set_bool(int64_t row, int32_t feature, bool value) {
  return sidecall_call_set_bool(call_.get(), row, feature, value ? 1 : 0, nullptr) == SIDECALL_OK;
}

bool RowCall::set_missing(int64_t row, int32_t feature) {
  return sidecall_call_set_missing(call_.get(), row, feature, nullptr) == SIDECALL_OK;
}

bool RowCall::set_invalid(int64_t row, int32_t feature, const char* got) {
  return sidecall_call_set_invalid(call_.get(), row, feature, got, nullptr) == SIDECALL_OK;
}

sidecall_status RowCall::run() { return sidecall_call_run(call_.get(), timeout_ns_, &err_); }

size_t RowCall::num_faults() const { return std::min<size_t>(err_.num_faults, kMaxFaults); }

// Throws a Failure if the status is an error. Used for functions that fail only if memory runs out
// or the server is gone.
void RowCall::check(sidecall_status status) const {
  if (status != SIDECALL_OK) throw Failure(exit_code_of(status), err_.message);
}

}  // namespace sidecall::cli
