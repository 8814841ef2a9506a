// Implements workspaces and their pools; see workspace.h. On the fast path a run costs a dict
// look-up, three comparisons and a memcpy per input.
#include "workspace.h"

#include <sidecall/binding.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "gil.h"

namespace sidecall_python {
namespace {

bool has_other_width(int type_num, const TensorSpec& spec) {
  const int32_t dtype = dtype_of(type_num);
  return (dtype == SIDECALL_DTYPE_FLOAT32 && spec.dtype == SIDECALL_DTYPE_FLOAT64) ||
         (dtype == SIDECALL_DTYPE_FLOAT64 && spec.dtype == SIDECALL_DTYPE_FLOAT32);
}

// Up to this size, copying an input to bound memory costs less than binding the caller's memory.
constexpr uint64_t kCopyBytes = 16 * 1024;
constexpr uint64_t kKeepBytes = 16 * 1024 * 1024;
constexpr size_t kMostIdle = 8;

}  // namespace

Workspace::Workspace(const ModelHandle& model, int64_t rows, Kind kind) : model_(model) {
  const auto open = kind == Kind::kLazy ? sidecall_call_open_lazy : sidecall_call_open;
  error_.make_room();
  error_.check(without_gil([&] { return open(model.get(), rows, &call_, error_.get()); }));
}

void Workspace::run(int64_t timeout_ns) {
  error_.check(without_gil([&] { return sidecall_call_run(call_, timeout_ns, error_.get()); }));
}

void Workspace::start(int64_t timeout_ns) {
  error_.check(without_gil([&] { return sidecall_call_start(call_, timeout_ns, error_.get()); }));
}

bool Workspace::try_start(int64_t timeout_ns) {
  int32_t is_started = 0;
  error_.check(sidecall_call_try_start(call_, timeout_ns, &is_started, error_.get()));
  return is_started != 0;
}

void Workspace::resize(int64_t rows) {
  error_.check(without_gil([&] { return sidecall_call_resize(call_, rows, error_.get()); }));
}

void Workspace::reshape(int32_t input, const std::vector<int64_t>& dims) {
  error_.check(without_gil([&] {
    return sidecall_call_reshape(call_, input, dims.data(), static_cast<int32_t>(dims.size()),
                                 error_.get());
  }));
}

bool Workspace::write(const std::vector<TensorSpec>& specs, PyObject* inputs) {
  if (inputs_.empty()) return false;
  const bool is_dict = PyDict_CheckExact(inputs);
  if (is_dict ? static_cast<size_t>(PyDict_GET_SIZE(inputs)) != specs.size() : specs.size() != 1)
    return false;
  for (size_t i = 0; i < specs.size(); ++i) {
    PyObject* value = is_dict ? PyDict_GetItemWithError(inputs, specs[i].name.ptr()) : inputs;
    if (value == nullptr) {
      if (PyErr_Occurred()) throw py::error_already_set();
      return false;
    }
    if (!is_array(value) || !is_plain(value) || is_masked(value)) return false;
    const bool is_converted = type_num_of(value) != specs[i].type_num;
    if (is_converted && !has_other_width(type_num_of(value), specs[i])) return false;
    const auto* array = proxy(value);
    const Place& place = inputs_[i];
    if (static_cast<size_t>(array->nd) != place.dims.size()) return false;
    for (size_t d = 0; d < place.dims.size(); ++d) {
      if (array->dimensions[d] != place.dims[d]) return false;
    }
    if (!is_converted) {
      std::memcpy(place.data, array->data, place.bytes);
      continue;
    }
    sidecall_view view = SIDECALL_VIEW_INIT;
    view.dtype = dtype_of(type_num_of(value));
    view.rank = array->nd;
    view.dims = place.dims.data();
    view.data = array->data;
    view.data_bytes = static_cast<uint64_t>(py::reinterpret_borrow<py::array>(value).nbytes());
    // When this returns false, the caller passes all inputs to give(), which finds the same fault
    // again and reports it.
    if (sidecall_call_copy_input(call_, static_cast<int32_t>(i), &view, nullptr) != SIDECALL_OK)
      return false;
  }
  return true;
}

void Workspace::give(int32_t input, PyObject* value, const TensorSpec& spec,
                     std::vector<py::object>* keep) {
  Tensor tensor;
  const py::object given = converted(value, spec);
  read_tensor(given.ptr(), spec, &tensor);
  if (!tensor.refused.empty()) {
    sidecall_call_describe_mismatch(call_, input, tensor.refused.c_str(), error_.get());
    error_.check(error_.get()->status);
  }
  const bool is_large =
      tensor.view.data_bytes > kCopyBytes && tensor.view.dtype != SIDECALL_DTYPE_STRING;
  is_small_ = is_small_ && !is_large && tensor.view.dtype != SIDECALL_DTYPE_STRING;
  if (is_large && keep != nullptr && tensor.view.dtype == spec.dtype) {
    error_.check(sidecall_call_bind_input(call_, input, &tensor.view, error_.get()));
    keep->push_back(std::move(tensor.array));
  } else {
    error_.check(sidecall_call_copy_input(call_, input, &tensor.view, error_.get()));
  }
}

void Workspace::remember(size_t num_inputs) {
  const bool is_small = std::exchange(is_small_, true);
  if (!is_small) return;
  std::vector<Place> places;
  for (size_t i = 0; i < num_inputs; ++i) {
    sidecall_view view = SIDECALL_VIEW_INIT;
    error_.check(sidecall_call_input(call_, static_cast<int32_t>(i), &view, error_.get()));
    if (is_packed(view.dtype)) return;
    places.push_back(
        {std::vector<int64_t>(view.dims, view.dims + view.rank), view.data, view.data_bytes});
  }
  inputs_ = std::move(places);
}

std::unique_ptr<Workspace> Pool::take(size_t index) {
  std::unique_ptr<Workspace> workspace = std::move(idle_[index]);
  idle_.erase(idle_.begin() + static_cast<std::ptrdiff_t>(index));
  return workspace;
}

std::unique_ptr<Workspace> Pool::take_written(const std::vector<TensorSpec>& specs,
                                              PyObject* inputs) {
  for (size_t i = idle_.size(); i-- > 0;) {
    if (idle_[i]->write(specs, inputs)) return take(i);
  }
  return nullptr;
}

std::unique_ptr<Workspace> Pool::take_any(const ModelHandle& model) {
  for (size_t i = idle_.size(); i-- > 0;) {
    if (!idle_[i]->is_remembered()) return take(i);
  }
  if (idle_.size() < kMostIdle) return std::make_unique<Workspace>(model, 1);
  std::unique_ptr<Workspace> workspace = take(0);
  workspace->forget();
  return workspace;
}

std::unique_ptr<Workspace> Pool::take_rows(const ModelHandle& model, int64_t rows) {
  for (size_t i = idle_.size(); i-- > 0;) {
    if (sidecall_call_rows(idle_[i]->call()) == rows) return take(i);
  }
  if (idle_.size() < kMostIdle) return std::make_unique<Workspace>(model, rows);
  std::unique_ptr<Workspace> workspace = take(0);
  workspace->resize(rows);
  return workspace;
}

void Pool::put(std::unique_ptr<Workspace> workspace, uint64_t bytes) {
  if (bytes > kKeepBytes) return;
  if (idle_.size() >= kMostIdle) idle_.erase(idle_.begin());
  idle_.push_back(std::move(workspace));
}

}  // namespace sidecall_python
