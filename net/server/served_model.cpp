// Calls the model through the C ABI; see served_model.h.
#include "served_model.h"

#include <algorithm>
#include <array>
#include <memory>

#include "base/json/fault_json.h"
#include "net/common/error.h"

namespace sidecall::net {
namespace {

constexpr uint32_t kMaxFaults = 1000;  // the library keeps no more

struct ThreadError {
  ThreadError() : faults(new sidecall_fault[kMaxFaults]) {
    error.faults = faults.get();
    error.faults_capacity = kMaxFaults;
  }
  sidecall_error error = SIDECALL_ERROR_INIT;
  const std::unique_ptr<sidecall_fault[]> faults;
};

ThreadError& thread_error() {
  thread_local ThreadError error;
  return error;
}

// Appends the faults to {"num_faults":3,"faults":[...]} while they fit.
std::string list_faults(const std::vector<FaultTexts>& faults, size_t total, size_t max_bytes) {
  if (faults.empty()) return "";
  std::string text = "\"num_faults\":" + std::to_string(total) + ",\"faults\":[";
  for (const FaultTexts& fault : faults) {
    const size_t before = text.size();
    if (text.back() != '[') text.push_back(',');
    append_fault(fault, &text);
    if (text.size() < max_bytes) continue;
    text.resize(before);
    break;
  }
  return text + "]";
}

}  // namespace

sidecall_error* error_of_thread() { return &thread_error().error; }

void ServedModel::check(int32_t status) const {
  sidecall_error& error = *error_of_thread();
  const int32_t ended = service_.end_of_process(&error);
  if (ended != SIDECALL_OK) status = ended;
  if (status == SIDECALL_OK) return;
  std::vector<FaultTexts> faults;
  for (uint32_t i = 0; i < std::min(error.num_faults, kMaxFaults); ++i) {
    const sidecall_fault& fault = error.faults[i];
    faults.push_back({fault.row, library().status_name(fault.status),
                      kFaultKinds.at(static_cast<size_t>(fault.kind)), fault.name, fault.expected,
                      fault.got});
  }
  throw Error(status, error.message, list_faults(faults, error.num_faults, max_fault_bytes_));
}

sidecall_call* ServedModel::take_call() const {
  sidecall_call* call = nullptr;
  check(library().model_take_call(service_.model, 1, &call, error_of_thread()));
  return call;
}

int32_t ServedModel::input_index(const std::string& name) const {
  for (size_t i = 0; i < service_.num_inputs; ++i) {
    if (name == service_.inputs[i].name) return static_cast<int32_t>(i);
  }
  const char* const expected = "an input of the model";
  const char* const got = "another name";
  const FaultTexts fault{-1, library().status_name(SIDECALL_UNKNOWN_NAME), "input", name, expected,
                         got};
  throw Error(SIDECALL_UNKNOWN_NAME, "input '" + name + "': expected " + expected + ", got " + got,
              list_faults({fault}, 1, max_fault_bytes_));
}

void ServedModel::set_tensors(sidecall_call* call,
                              const std::vector<ReceivedTensor>& tensors) const {
  for (const ReceivedTensor& tensor : tensors) {
    sidecall_view view = SIDECALL_VIEW_INIT;
    view.dtype = tensor.dtype;
    view.rank = static_cast<int32_t>(tensor.dims.size());
    view.dims = tensor.dims.data();
    view.data = const_cast<void*>(tensor.data);  // only read, although a view is writable
    view.data_bytes = tensor.bytes;
    view.offsets = tensor.offsets.empty() ? nullptr : tensor.offsets.data();
    check(library().call_copy_input(call, input_index(tensor.name), &view, error_of_thread()));
  }
}

int64_t ServedModel::missing_number(const std::string& input, int64_t element) const {
  int64_t number = 0;
  check(service_.missing_number(service_.context, input_index(input), element, &number,
                                error_of_thread()));
  return number;
}

std::string ServedModel::records_of(sidecall_call* call, int32_t is_list) const {
  sidecall_text* text = nullptr;
  check(service_.records_of(call, is_list, &text, error_of_thread()));
  const std::unique_ptr<sidecall_text, decltype(&sidecall_text_close)> owner(text,
                                                                             library().text_close);
  return {text->data, text->length};
}

std::vector<sidecall_net_tensor> ServedModel::outputs_of(sidecall_call* call) const {
  std::vector<sidecall_net_tensor> outputs;
  for (size_t i = 0; i < service_.num_outputs; ++i) {
    sidecall_view view = SIDECALL_VIEW_INIT;
    check(library().call_output(call, static_cast<int32_t>(i), &view, error_of_thread()));
    outputs.push_back({service_.outputs[i].name, view.dtype, view.rank, view.dims, view.data,
                       view.data_bytes, view.offsets});
  }
  return outputs;
}

}  // namespace sidecall::net
