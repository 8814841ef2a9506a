// Implements workspaces; see workspace.h.
#include "workspace.h"

#include <sidecall/binding.h>

#include <utility>

#include "gil.h"

namespace sidecall_python {
namespace {

// Up to this size, copying an input costs less than binding the caller's memory.
constexpr uint64_t kCopyBytes = 16 * 1024;

}  // namespace

Workspace::Workspace(ModelHandle model, int64_t rows, Kind kind)
    : model_(std::move(model)), kind_(kind) {
  CallError error;
  error.check(kind == Kind::kPooled
                  ? sidecall_model_take_call(model_.get(), rows, &call_, error.get())
                  : without_gil([&] {
                      return sidecall_call_open(model_.get(), rows, &call_, error.get());
                    }));
}

// Neither waits: the library keeps the memory that an engine still uses. The exception is memory of
// the caller, which only a run without a queue uses.
Workspace::~Workspace() {
  if (kind_ == Kind::kPooled) sidecall_model_give_call(model_.get(), call_);
  else sidecall_call_close(call_);
}

void Workspace::run(int64_t timeout_ns) {
  CallError error;
  error.check(without_gil([&] { return sidecall_call_run(call_, timeout_ns, error.get()); }));
}

bool Workspace::give_view(int32_t input, const sidecall_view& view, bool may_bind) {
  const bool is_bound =
      may_bind && view.data_bytes > kCopyBytes && view.dtype != SIDECALL_DTYPE_STRING;
  const auto give = is_bound ? sidecall_call_bind_input : sidecall_call_copy_input;
  check([&](sidecall_call* call, sidecall_error* err) { return give(call, input, &view, err); });
  return is_bound;
}

void Workspace::give(int32_t input, PyObject* value, const TensorSpec& spec,
                     std::vector<py::object>* keep) {
  sidecall_view view = SIDECALL_VIEW_INIT;
  if (view_in_place(value, spec, &view)) {
    if (give_view(input, view, keep != nullptr && view.dtype == spec.dtype))
      keep->push_back(py::reinterpret_borrow<py::object>(value));
    return;
  }
  Tensor tensor;
  const py::object given = converted(value, spec);
  read_tensor(given.ptr(), spec, &tensor);
  if (!tensor.refused.empty()) refuse(input, tensor.refused);
  if (give_view(input, tensor.view, keep != nullptr && tensor.view.dtype == spec.dtype))
    keep->push_back(std::move(tensor.array));
}

void Workspace::refuse(int32_t input, const std::string& type) const {
  check([&](sidecall_call* call, sidecall_error* err) {
    sidecall_call_describe_mismatch(call, input, type.c_str(), err);
    return err->status;
  });
}

sidecall_view Workspace::output(size_t index) const {
  sidecall_view view = SIDECALL_VIEW_INIT;
  check([&](sidecall_call* call, sidecall_error* err) {
    return sidecall_call_output(call, static_cast<int32_t>(index), &view, err);
  });
  return view;
}

}  // namespace sidecall_python
