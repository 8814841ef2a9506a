// Opens and closes calls, and keeps them for their next user; see handles.h.
#include "handles.h"

#include <cstddef>
#include <cstring>

namespace sidecall {
namespace {

constexpr size_t kMaxKept = 128;
constexpr uint64_t kMaxKeptBytes = uint64_t{32} << 20;

// Zeroes the inputs that do not consist of features, as in a call that is opened. Setting a feature
// or viewing the input overwrites the others.
void wipe_inputs(sidecall_call* call) {
  const Signature& signature = call->call.signature();
  for (size_t i = 0; i < signature.inputs.size(); ++i) {
    if (signature.inputs[i].dtype == SIDECALL_DTYPE_STRING) continue;
    if (i < signature.checks.size() && !signature.checks[i].feature_at.empty()) continue;
    sidecall_view view = SIDECALL_VIEW_INIT;
    call->call.view_input(static_cast<int32_t>(i), &view);
    if (view.data_bytes > 0) std::memset(view.data, 0, view.data_bytes);
  }
}

}  // namespace

KeptCalls::~KeptCalls() {
  for (const Kept& kept : calls_) close_call(kept.call);
}

sidecall_call* KeptCalls::take() {
  const std::lock_guard lock(mutex_);
  calls_.reserve(kMaxKept);
  if (calls_.empty()) return nullptr;
  const Kept last = calls_.back();
  calls_.pop_back();
  bytes_ -= last.bytes;
  return last.call;
}

bool KeptCalls::keep(sidecall_call* call, bool lends_connection) {
  if (call->run.is_submitted() || call->call.is_busy() || !call->call.is_like_new()) return false;
  const uint64_t bytes = call->call.tensor_bytes();
  if (bytes > kMaxKeptBytes) return false;
  wipe_inputs(call);
  call->call.reset();
  call->call.discard_results();
  call->run.forget_outcome();
  if (lends_connection) call->call.lend_connection();
  const std::lock_guard lock(mutex_);
  if (calls_.size() >= kMaxKept || bytes_ + bytes > kMaxKeptBytes) return false;
  calls_.push_back({call, bytes});
  bytes_ += bytes;
  return true;
}

sidecall_call* open_call(const sidecall_model& model, int64_t rows, bool lends_connection) {
  const Model& opened = *model.model;
  return new sidecall_call{
      model.model,
      model.specs,
      {opened.signature(), opened.engine(), opened.ignores_extra(), rows, lends_connection}};
}

void close_call(sidecall_call* call) {
  const auto dispose = [](void* left) { delete static_cast<sidecall_call*>(left); };
  call->run.detach();
  if (!call->call.leave_to_worker(dispose, call)) delete call;
}

}  // namespace sidecall
