// sidecall_call_*, except the values of records (values.cpp): checks pointers and forwards to
// core/call.h.
#include "core/call.h"

#include <sidecall/binding.h>

#include "base/spin_policy.h"
#include "guard.h"
#include "handles.h"
#include "structs.h"

using sidecall::guard;
using sidecall::report_text;
using sidecall::require;
using sidecall::use;

namespace {

void give_input(sidecall_call* call, int32_t input, const sidecall_view* view, bool borrow) {
  require(view != nullptr, "view must not be NULL");
  if (view->struct_size == sizeof *view) return use(call).give_input(input, *view, borrow);
  use(call).give_input(
      input, sidecall::read_struct(view, sidecall_view(SIDECALL_VIEW_INIT), "view"), borrow);
}

sidecall_status open_call(const sidecall_model* model, int64_t rows, bool is_lazy,
                          sidecall_call** out_call, sidecall_error* err) {
  if (out_call != nullptr) *out_call = nullptr;
  return guard(err, [&] {
    require(model != nullptr && out_call != nullptr, "model and out_call must not be NULL");
    const sidecall::Model& opened = *model->model;
    *out_call = new sidecall_call{
        model->model,
        model->specs,
        {opened.signature(), opened.engine(), opened.ignores_extra(), rows, is_lazy}};
  });
}

// For functions that are allowed while a run is under way, but not one of a queue.
sidecall::Call& use_outside_queue(sidecall_call* call) {
  sidecall::Call& used = sidecall::use(call);
  if (call->run.is_submitted())
    throw sidecall::Error(SIDECALL_BUSY,
                          "the call is under way in a queue: take its completion there");
  return used;
}

}  // namespace

extern "C" {

sidecall_status sidecall_call_open(const sidecall_model* model, int64_t rows,
                                   sidecall_call** out_call, sidecall_error* err) {
  return open_call(model, rows, false, out_call, err);
}

sidecall_status sidecall_call_open_lazy(const sidecall_model* model, int64_t rows,
                                        sidecall_call** out_call, sidecall_error* err) {
  return open_call(model, rows, true, out_call, err);
}

void sidecall_call_close(sidecall_call* call) {
  const auto dispose = [](void* left) { delete static_cast<sidecall_call*>(left); };
  if (call != nullptr) call->run.detach();
  if (call != nullptr && !call->call.leave_to_worker(dispose, call)) delete call;
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
  return guard(err, [&] { give_input(call, input, view, false); });
}

sidecall_status sidecall_call_bind_input(sidecall_call* call, int32_t input,
                                         const sidecall_view* view, sidecall_error* err) {
  return guard(err, [&] { give_input(call, input, view, true); });
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

sidecall_status sidecall_call_start(sidecall_call* call, int64_t timeout_ns, sidecall_error* err) {
  return guard(err, [&] { use(call).start(timeout_ns); });
}

sidecall_status sidecall_call_try_start(sidecall_call* call, int64_t timeout_ns,
                                        int32_t* out_started, sidecall_error* err) {
  if (out_started != nullptr) *out_started = 0;
  return guard(err, [&] {
    require(out_started != nullptr, "out_started must not be NULL");
    *out_started = use(call).try_start(timeout_ns) ? 1 : 0;
  });
}

sidecall_status sidecall_call_finish(sidecall_call* call, int64_t wait_ns, sidecall_error* err) {
  bool is_over = true;
  const sidecall_status status =
      guard(err, [&] { is_over = use_outside_queue(call).finish(wait_ns); });
  // Not an exception, because a program that has many runs under way gets it often.
  return is_over ? status
                 : report_text(SIDECALL_PENDING,
                               "the started run has not ended yet: call finish again", err);
}

int32_t sidecall_call_is_busy(const sidecall_call* call) {
  // The cast is safe because no call object is const. is_busy() checks whether the memory of a run
  // that was given up is free by now, and stores the result in the call.
  if (call == nullptr) return 0;
  return call->run.is_submitted() || const_cast<sidecall_call*>(call)->call.is_busy() ? 1 : 0;
}

sidecall_status sidecall_call_fd(sidecall_call* call, int32_t* out_fd, sidecall_error* err) {
  if (out_fd != nullptr) *out_fd = -1;
  return guard(err, [&] {
    require(out_fd != nullptr, "out_fd must not be NULL");
    *out_fd = use_outside_queue(call).fd();
  });
}

sidecall_status sidecall_call_watch(sidecall_call* call, int32_t* out_fd, sidecall_error* err) {
  if (out_fd != nullptr) *out_fd = -1;
  return guard(err, [&] {
    require(out_fd != nullptr, "out_fd must not be NULL");
    *out_fd = use_outside_queue(call).watch();
  });
}

int64_t sidecall_poll_ns() { return sidecall::polling_ns(); }

void sidecall_call_cancel(sidecall_call* call) {
  if (call != nullptr && !call->run.cancel()) call->call.cancel();
}

}  // extern "C"
