// sidecall_request_*: checks pointers and forwards to serving/request.h.
#include "serving/request.h"

#include "core/abi/guard.h"
#include "structs.h"

using sidecall::guard;
using sidecall::require;

extern "C" {

int32_t sidecall_request_num_inputs(const sidecall_request* request) {
  return request == nullptr ? 0 : static_cast<int32_t>(request->inputs.size());
}
int32_t sidecall_request_num_outputs(const sidecall_request* request) {
  return request == nullptr ? 0 : static_cast<int32_t>(request->outputs.size());
}

const sidecall_tensor_spec* sidecall_request_input_spec(const sidecall_request* request,
                                                        int32_t input) {
  const bool exists = input >= 0 && input < sidecall_request_num_inputs(request);
  return exists ? &request->engine.specs().inputs[static_cast<size_t>(input)] : nullptr;
}
const sidecall_tensor_spec* sidecall_request_output_spec(const sidecall_request* request,
                                                         int32_t output) {
  const bool exists = output >= 0 && output < sidecall_request_num_outputs(request);
  return exists ? &request->engine.specs().outputs[static_cast<size_t>(output)] : nullptr;
}

sidecall_status sidecall_request_input(sidecall_request* request, int32_t index,
                                       sidecall_view* out_view, sidecall_error* err) {
  return guard(err, [&] {
    require(request != nullptr, "request must not be NULL");
    sidecall::fill_view(out_view, [&](sidecall_view* view) { request->view_input(index, view); });
  });
}

sidecall_status sidecall_request_output(sidecall_request* request, int32_t index,
                                        const int64_t* dims, int32_t rank, sidecall_view* out_view,
                                        sidecall_error* err) {
  return guard(err, [&] {
    require(request != nullptr, "request must not be NULL");
    sidecall::fill_view(
        out_view, [&](sidecall_view* view) { request->view_output(index, dims, rank, view); });
  });
}

sidecall_status sidecall_request_set_strings(sidecall_request* request, int32_t index,
                                             const int64_t* dims, int32_t rank, const char* data,
                                             const int64_t* offsets, sidecall_error* err) {
  return guard(err, [&] {
    require(request != nullptr && offsets != nullptr, "request and offsets must not be NULL");
    request->set_strings(index, dims, rank, data, offsets);
  });
}

int64_t sidecall_request_remaining(const sidecall_request* request) {
  return request == nullptr ? 0 : request->remaining_ns();
}

void sidecall_request_fail(sidecall_request* request, sidecall_status status, int64_t row,
                           const char* name, const char* expected, const char* got,
                           const char* message) {
  if (request == nullptr) return;
  guard(nullptr, [&] { request->fail(status, row, name, expected, got, message); });
}

void sidecall_request_log(sidecall_request* request, int32_t level, const char* event,
                          const char* facts) {
  if (request == nullptr || event == nullptr || level < 0 || level > 3) return;
  guard(nullptr, [&] { request->log(level, event, facts); });
}

}  // extern "C"
