// sidecall_call_*, except the values of records (values.cpp), and the calls that a model keeps:
// checks pointers and forwards to core/call/call.h.
#include "core/call/call.h"

#include <sidecall/binding.h>

#include "core/abi/guard.h"
#include "core/abi/handles.h"
#include "structs.h"

using sidecall::guard;
using sidecall::require;
using sidecall::use;

namespace {

void set_input(sidecall_call* call, int32_t input, const sidecall_view* view, bool borrow) {
  require(view != nullptr, "view must not be NULL");
  if (view->struct_size == sizeof *view) return use(call).set_input(input, *view, borrow);
  use(call).set_input(input, sidecall::read_struct(view, sidecall_view(SIDECALL_VIEW_INIT), "view"),
                      borrow);
}

}  // namespace

extern "C" {

sidecall_status sidecall_call_open(const sidecall_model* model, int64_t rows,
                                   sidecall_call** out_call, sidecall_error* err) {
  if (out_call != nullptr) *out_call = nullptr;
  return guard(err, [&] {
    require(model != nullptr && out_call != nullptr, "model and out_call must not be NULL");
    *out_call = sidecall::open_call(*model, rows, false);
  });
}

sidecall_status sidecall_model_take_call(const sidecall_model* model, int64_t rows,
                                         sidecall_call** out_call, sidecall_error* err) {
  if (out_call != nullptr) *out_call = nullptr;
  sidecall_call* call = nullptr;
  sidecall_status status = guard(err, [&] {
    require(model != nullptr && out_call != nullptr, "model and out_call must not be NULL");
    call = model->kept_calls.get().take();
  });
  if (status != SIDECALL_OK) return status;
  status = guard(err, [&] {
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
    guard(nullptr, [&] { is_kept = model->kept_calls.get().keep(call, model->lends_connections); });
  }
  if (!is_kept) sidecall::close_call(call);
}

void sidecall_call_close(sidecall_call* call) {
  if (call != nullptr) sidecall::close_call(call);
}

int64_t sidecall_call_expected_ns(const sidecall_call* call) {
  return call == nullptr ? INT64_MAX : call->call.expected_ns();
}

sidecall_status sidecall_call_resize(sidecall_call* call, int64_t rows, sidecall_error* err) {
  return guard(err, [&] { use(call).resize(rows); });
}

int64_t sidecall_call_rows(const sidecall_call* call) {
  return call == nullptr ? 0 : call->call.rows();
}

sidecall_status sidecall_call_reshape(sidecall_call* call, int32_t input, const int64_t* dims,
                                      int32_t rank, sidecall_error* err) {
  return guard(err, [&] { use(call).reshape(input, dims, rank); });
}

sidecall_status sidecall_call_input(sidecall_call* call, int32_t input, sidecall_view* out_view,
                                    sidecall_error* err) {
  return guard(err, [&] {
    sidecall::fill_view(out_view, [&](sidecall_view* view) { use(call).view_input(input, view); });
  });
}

sidecall_status sidecall_call_output(sidecall_call* call, int32_t output, sidecall_view* out_view,
                                     sidecall_error* err) {
  return guard(err, [&] {
    sidecall::fill_view(out_view,
                        [&](sidecall_view* view) { use(call).view_output(output, view); });
  });
}

sidecall_status sidecall_call_copy_input(sidecall_call* call, int32_t input,
                                         const sidecall_view* view, sidecall_error* err) {
  return guard(err, [&] { set_input(call, input, view, false); });
}

sidecall_status sidecall_call_bind_input(sidecall_call* call, int32_t input,
                                         const sidecall_view* view, sidecall_error* err) {
  return guard(err, [&] { set_input(call, input, view, true); });
}

void sidecall_call_describe_mismatch(sidecall_call* call, int32_t input, const char* got,
                                     sidecall_error* err) {
  guard(err, [&] {
    require(got != nullptr, "got must not be NULL");
    use(call).refuse_input(input, got);
  });
}

sidecall_status sidecall_call_bind_output(sidecall_call* call, int32_t output, void* data,
                                          uint64_t data_bytes, sidecall_error* err) {
  return guard(err, [&] { use(call).bind_output(output, data, data_bytes); });
}

sidecall_status sidecall_call_set_strings(sidecall_call* call, int32_t input, const char* data,
                                          const int64_t* offsets, int64_t num_strings,
                                          sidecall_error* err) {
  return guard(err, [&] { use(call).set_strings(input, data, offsets, num_strings); });
}

sidecall_status sidecall_call_reset(sidecall_call* call, sidecall_error* err) {
  return guard(err, [&] { use(call).reset(); });
}

sidecall_status sidecall_call_run(sidecall_call* call, int64_t timeout_ns, sidecall_error* err) {
  return guard(err, [&] { use(call).run(timeout_ns); });
}

void sidecall_call_cancel(sidecall_call* call) {
  if (call != nullptr && !call->run.cancel()) call->call.cancel();
}

}  // extern "C"
