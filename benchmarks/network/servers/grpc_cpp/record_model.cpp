// Reusable workspaces (sidecall_call) of libsidecall, one for each request in progress.
#include "record_model.h"

#include <stdexcept>

namespace {

void check(sidecall_status status, const sidecall_error& err) {
  if (status != SIDECALL_OK) throw std::runtime_error(err.message);
}

}  // namespace

RecordModel::RecordModel(const std::string& path) {
  sidecall_error err = SIDECALL_ERROR_INIT;
  sidecall_model* opened = nullptr;
  check(sidecall_model_open(path.c_str(), nullptr, &opened, &err), err);
  model_.reset(opened);
  for (int32_t i = 0; i < sidecall_model_num_columns(opened); ++i) {
    const sidecall_column_spec* column = sidecall_model_column_spec(opened, i);
    if (column->dtype == SIDECALL_DTYPE_STRING) label_ = i;
    if (column->form == SIDECALL_FORM_MEMBER) probabilities_.push_back({i, column->key});
  }
  if (label_ < 0 || probabilities_.empty())
    throw std::runtime_error(path + ": expected a label of strings and probabilities");
}

RecordModel::Call RecordModel::take() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!free_.empty()) {
      Call call = std::move(free_.back());
      free_.pop_back();
      return call;
    }
  }
  sidecall_error err = SIDECALL_ERROR_INIT;
  sidecall_call* call = nullptr;
  check(sidecall_call_open(model_.get(), 1, &call, &err), err);
  return Call(call);
}

void RecordModel::put_back(Call call) {
  const std::lock_guard<std::mutex> lock(mutex_);
  free_.push_back(std::move(call));
}

void RecordModel::predict(const prediction::RecordRequest& request,
                          prediction::RecordResponse& response) {
  sidecall_error err = SIDECALL_ERROR_INIT;
  Call call = take();
  check(sidecall_call_clear(call.get(), &err), err);
  for (const auto& [name, value] : request.features()) {
    const int32_t feature = sidecall_model_feature(model_.get(), name.c_str());
    if (value.kind_case() == prediction::Value::kText)
      check(sidecall_call_set_str(call.get(), 0, feature, value.text().data(), value.text().size(),
                                  &err),
            err);
    else if (value.kind_case() == prediction::Value::kNumber)
      check(sidecall_call_set_f64(call.get(), 0, feature, value.number(), &err), err);
  }
  check(sidecall_call_run(call.get(), -1, &err), err);
  const char* text = nullptr;
  size_t length = 0;
  check(sidecall_call_get_str(call.get(), 0, label_, &text, &length, &err), err);
  response.set_label(text, length);
  auto& probabilities = *response.mutable_probabilities();
  for (const Column& column : probabilities_)
    check(sidecall_call_get_f64(call.get(), 0, column.index, &probabilities[column.key], &err),
          err);
  put_back(std::move(call));
}
