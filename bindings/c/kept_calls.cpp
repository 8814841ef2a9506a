// The calls that a model keeps for their next user (sidecall_model_take_call and the like).
#include <sidecall/sidecall.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "guard.h"
#include "handles.h"

namespace {

constexpr size_t kMaxKept = 128;
constexpr uint64_t kMaxKeptBytes = uint64_t{32} << 20;

sidecall_call* take_kept(sidecall::KeptCalls* kept) {
  const std::lock_guard lock(kept->mutex);
  kept->calls.reserve(kMaxKept);
  if (kept->calls.empty()) return nullptr;
  const sidecall::KeptCalls::Kept last = kept->calls.back();
  kept->calls.pop_back();
  kept->bytes -= last.bytes;
  return last.call;
}

// Zeroes the inputs that do not consist of features, as in a call that is opened. Setting a feature
// or viewing the input overwrites the others.
void wipe_inputs(sidecall_call* call) {
  const sidecall::Signature& signature = call->call.signature();
  for (size_t i = 0; i < signature.inputs.size(); ++i) {
    if (signature.inputs[i].dtype == SIDECALL_DTYPE_STRING) continue;
    if (i < signature.checks.size() && !signature.checks[i].feature_at.empty()) continue;
    sidecall_view view = SIDECALL_VIEW_INIT;
    call->call.view_input(static_cast<int32_t>(i), &view);
    if (view.data_bytes > 0) std::memset(view.data, 0, view.data_bytes);
  }
}

// Returns false if the call cannot be kept.
bool keep(sidecall::KeptCalls* kept, sidecall_call* call) {
  if (call->run.is_submitted() || call->call.is_busy() || !call->call.is_as_opened()) return false;
  const uint64_t bytes = call->call.tensor_bytes();
  if (bytes > kMaxKeptBytes) return false;
  wipe_inputs(call);
  call->call.reset();
  call->call.drop_results();
  call->run.forget_outcome();
  const std::lock_guard lock(kept->mutex);
  if (kept->calls.size() >= kMaxKept || kept->bytes + bytes > kMaxKeptBytes) return false;
  kept->calls.push_back({call, bytes});
  kept->bytes += bytes;
  return true;
}

}  // namespace

sidecall::KeptCalls::~KeptCalls() {
  for (const Kept& kept : calls) sidecall_call_close(kept.call);
}

extern "C" {

sidecall_status sidecall_model_take_call(const sidecall_model* model, int64_t rows,
                                         sidecall_call** out_call, sidecall_error* err) {
  if (out_call != nullptr) *out_call = nullptr;
  sidecall_call* call = nullptr;
  sidecall_status status = sidecall::guard(err, [&] {
    sidecall::require(model != nullptr && out_call != nullptr,
                      "model and out_call must not be NULL");
    call = take_kept(&model->kept_calls.get());
  });
  if (status != SIDECALL_OK) return status;
  status = sidecall::guard(err, [&] {
    if (call != nullptr) call->call.resize(rows);
    else call = sidecall::open_call(*model, rows, true);
  });
  if (status == SIDECALL_OK) *out_call = call;
  else sidecall_model_give_call(model, call);
  return status;
}

void sidecall_model_give_call(const sidecall_model* model, sidecall_call* call) {
  if (call == nullptr) return;
  bool is_kept = false;
  if (model != nullptr && model->model == call->model) {
    sidecall::guard(nullptr, [&] { is_kept = keep(&model->kept_calls.get(), call); });
  }
  if (!is_kept) sidecall_call_close(call);
}

}  // extern "C"
