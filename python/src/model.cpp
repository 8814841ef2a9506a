// Opens and closes models and runs them on tensors; see model.h.
#include "model.h"

#include <utility>

#include "gil.h"

namespace sidecall_python {
namespace {

// A larger output is not copied: the array uses the memory of the call, and the next run opens a
// new call.
constexpr uint64_t kShareBytes = 256 * 1024;

py::str interned(const char* text) {
  PyObject* name = PyUnicode_FromString(text);
  if (name == nullptr) throw py::error_already_set();
  PyUnicode_InternInPlace(&name);
  return py::reinterpret_steal<py::str>(name);
}

py::object text_or_none(const char* text) {
  return *text == '\0' ? py::object(py::none()) : py::object(py::str(text));
}

}  // namespace

TensorSpec spec_of(const sidecall_tensor_spec& tensor) {
  TensorSpec spec;
  spec.name = interned(tensor.name);
  spec.text = tensor.name;
  spec.dtype = tensor.dtype;
  spec.type_num = storage_type_num(tensor.dtype);
  spec.descr = py::reinterpret_steal<py::object>(
      py::detail::npy_api::get().PyArray_DescrFromType_(spec.type_num));
  spec.dims.assign(tensor.dims, tensor.dims + tensor.rank);
  py::list names;
  for (int32_t i = 0; i < tensor.rank; ++i) names.append(py::str(tensor.dim_names[i]));
  spec.dim_names = py::tuple(names);
  return spec;
}

void Model::take(sidecall_model* model) {
  handle_ = {model, sidecall_model_close};
  for (int32_t i = 0; i < sidecall_model_num_inputs(model); ++i)
    inputs_.push_back(spec_of(*sidecall_model_input_spec(model, i)));
  for (int32_t i = 0; i < sidecall_model_num_outputs(model); ++i)
    outputs_.push_back(spec_of(*sidecall_model_output_spec(model, i)));
  for (int32_t i = 0; i < sidecall_model_num_features(model); ++i) {
    const sidecall_feature_spec& spec = *sidecall_model_feature_spec(model, i);
    const bool is_datetime = spec.dtype == SIDECALL_DTYPE_DATETIME;
    const bool is_number = spec.dtype == SIDECALL_DTYPE_FLOAT32 ||
                           spec.dtype == SIDECALL_DTYPE_FLOAT64 ||
                           spec.dtype == SIDECALL_DTYPE_INT64;
    features_.push_back(
        {interned(spec.name), spec.name, is_number, is_datetime, spec.zone[0] != '\0'});
    if (is_datetime) inputs_[static_cast<size_t>(spec.input)].datetime_unit = spec.unit;
    feature_index_[features_.back().name] = i;
  }
  for (int32_t i = 0; i < sidecall_model_num_columns(model); ++i) {
    const sidecall_column_spec& spec = *sidecall_model_column_spec(model, i);
    columns_.push_back(
        {interned(spec.name), interned(spec.key), spec.dtype, spec.output, spec.column, spec.form});
  }
  // In a model with features, every place of every input belongs to a feature.
  for (TensorSpec& input : inputs_)
    input.takes_missing = input.dtype == SIDECALL_DTYPE_STRING && !features_.empty();
}

const ModelHandle& Model::handle() const {
  if (handle_ == nullptr) raise_status(SIDECALL_INVALID_ARGUMENT, "the model is closed");
  return handle_;
}

void Model::close() {
  tensor_calls_.clear();
  record_calls_.clear();
  handle_.reset();
}

int32_t Model::find(int32_t kind, PyObject* name) const {
  const py::object text = PyUnicode_Check(name) ? py::reinterpret_borrow<py::object>(name)
                                                : py::object(py::str(py::handle(name)));
  py::object holder;
  const std::string_view bytes = utf8_of(text.ptr(), &holder);
  CallError error;
  int32_t index = -1;
  error.check(
      sidecall_model_find(handle().get(), kind, bytes.data(), bytes.size(), &index, error.get()));
  return index;
}

py::str Model::verify() const {
  const ModelHandle model = handle();  // keeps it alive if another thread closes it meanwhile
  CallError error;
  sidecall_text* report = nullptr;
  const sidecall_status status =
      without_gil([&] { return sidecall_model_verify(model.get(), &report, error.get()); });
  const std::unique_ptr<sidecall_text, decltype(&sidecall_text_close)> owner(report,
                                                                             sidecall_text_close);
  error.check(status);
  return {report->data, report->length};
}

py::object Model::id() const {
  const ModelHandle model = handle();
  return py::str(without_gil([&] { return sidecall_model_id(model.get()); }));
}

std::unique_ptr<Workspace> Model::give(PyObject* inputs, std::vector<py::object>* keep) {
  handle();
  if (std::unique_ptr<Workspace> workspace = tensor_calls_.take_written(inputs_, inputs))
    return workspace;
  std::unique_ptr<Workspace> workspace = tensor_calls_.take_any(handle_);
  workspace->error().check(sidecall_call_reset(workspace->call(), workspace->error().get()));
  try {
    if (py::isinstance(inputs, py::module_::import("collections.abc").attr("Mapping"))) {
      PyObject* name = nullptr;
      PyObject* value = nullptr;
      // A copy, because converting a value may run code of the caller that changes the dict.
      const auto items = py::reinterpret_steal<py::dict>(
          PyDict_Copy(py::dict(py::reinterpret_borrow<py::object>(inputs)).ptr()));
      for (Py_ssize_t at = 0; PyDict_Next(items.ptr(), &at, &name, &value) != 0;) {
        const int32_t input = find(SIDECALL_KIND_INPUT, name);
        workspace->give(input, value, inputs_[static_cast<size_t>(input)], keep);
      }
    } else if (inputs_.size() == 1) {
      workspace->give(0, inputs, inputs_[0], keep);
    }  // Otherwise no input is given, and the run reports the first one as missing.
  } catch (...) {
    put_tensors(std::move(workspace), 0);
    throw;
  }
  return workspace;
}

void Model::put_tensors(std::unique_ptr<Workspace> workspace, uint64_t bytes) {
  if (!is_closed()) tensor_calls_.put(std::move(workspace), bytes);
}

py::dict Model::describe() const {
  const auto tensors = [](const std::vector<TensorSpec>& specs) {
    py::list list;
    for (const TensorSpec& spec : specs) {
      list.append(py::make_tuple(spec.name, sidecall_dtype_name(spec.dtype),
                                 py::tuple(py::cast(spec.dims)), spec.dim_names));
    }
    return list;
  };
  py::list features;
  for (size_t i = 0; i < features_.size(); ++i) {
    const sidecall_feature_spec& spec =
        *sidecall_model_feature_spec(handle().get(), static_cast<int32_t>(i));
    features.append(py::make_tuple(
        features_[i].name, sidecall_dtype_name(spec.dtype), py::bool_(spec.nullable != 0),
        inputs_[static_cast<size_t>(spec.input)].name, spec.column, text_or_none(spec.unit),
        text_or_none(spec.zone), text_or_none(spec.epoch)));
  }
  py::list columns;
  for (const Column& column : columns_) {
    columns.append(py::make_tuple(column.name, column.key, sidecall_dtype_name(column.dtype),
                                  outputs_[static_cast<size_t>(column.output)].name,
                                  column.column));
  }
  size_t length = 0;
  const char* contract = sidecall_model_contract(handle().get(), &length);
  const char* warning = sidecall_model_warning(handle().get());
  py::dict result;
  result["inputs"] = tensors(inputs_);
  result["outputs"] = tensors(outputs_);
  result["features"] = features;
  result["columns"] = columns;
  result["is_in_process"] = sidecall_model_route(handle().get()) == SIDECALL_ROUTE_IN_PROCESS;
  result["name"] = sidecall_model_name(handle().get());
  result["version"] = sidecall_model_version(handle().get());
  result["contract"] =
      contract == nullptr ? py::object(py::none()) : py::object(py::str(contract, length));
  result["engine"] = sidecall_model_engine(handle().get());
  result["engine_reason"] = sidecall_model_engine_reason(handle().get());
  result["warning"] = warning == nullptr ? py::object(py::none()) : py::object(py::str(warning));
  return result;
}

py::object Model::run(PyObject* inputs, PyObject* outputs, int64_t timeout_ns) {
  std::vector<py::object> keep;
  std::unique_ptr<Workspace> workspace = give(inputs, &keep);
  try {
    workspace->run(timeout_ns);
  } catch (...) {
    put_tensors(std::move(workspace), 0);
    throw;
  }
  return tensors(std::move(workspace), py::reinterpret_borrow<py::object>(outputs));
}

py::object Model::tensors(std::unique_ptr<Workspace> workspace, const py::object& wanted) {
  std::vector<size_t> order;
  if (!wanted.is_none()) {
    for (const py::handle name : wanted)
      order.push_back(static_cast<size_t>(find(SIDECALL_KIND_OUTPUT, name.ptr())));
  }
  if (!workspace->is_remembered()) workspace->remember(inputs_.size());
  const size_t count = wanted.is_none() ? outputs_.size() : order.size();
  py::dict result;
  uint64_t bytes = 0;
  py::object owner;
  Workspace* const lent = workspace.get();
  for (size_t k = 0; k < count; ++k) {
    const size_t i = wanted.is_none() ? k : order[k];
    sidecall_view view = SIDECALL_VIEW_INIT;
    lent->error().check(
        sidecall_call_output(lent->call(), static_cast<int32_t>(i), &view, lent->error().get()));
    // An output in the memory of another process is copied, because an array over that memory would
    // keep the connection occupied.
    const bool is_shared = view.data_bytes > kShareBytes && view.dtype != SIDECALL_DTYPE_STRING &&
                           (view.flags & SIDECALL_VIEW_READ_ONLY) == 0;
    if (is_shared && !owner)
      owner = py::capsule(workspace.release(),
                          [](void* shared) { delete static_cast<Workspace*>(shared); });
    const py::object array = array_of(view, outputs_[i], is_shared ? owner : py::object());
    if (PyDict_SetItem(result.ptr(), outputs_[i].name.ptr(), array.ptr()) != 0)
      throw py::error_already_set();
    bytes += view.data_bytes;
  }
  if (workspace != nullptr) put_tensors(std::move(workspace), bytes);
  return result;
}

std::unique_ptr<Pending> Model::start_run(const py::object& self, PyObject* inputs,
                                          const py::object& outputs, int64_t timeout_ns) {
  // All inputs are copied, because the caller may change its arrays while the run is under way, and
  // a run that is given up may outlive them.
  std::unique_ptr<Workspace> workspace = give(inputs, nullptr);
  return std::make_unique<Pending>(self, this, std::move(workspace), Pending::Kind::kTensors,
                                   outputs, timeout_ns);
}

py::object Model::collect(std::unique_ptr<Workspace> workspace, Pending::Kind kind,
                          const py::object& outputs) {
  if (kind == Pending::Kind::kTensors) return tensors(std::move(workspace), outputs);
  py::object answer = records(workspace.get(), kind == Pending::Kind::kRecord);
  const int64_t rows = sidecall_call_rows(workspace->call());
  put_records(std::move(workspace), rows);
  return answer;
}

Pending::Pending(py::object owner, Model* model, std::unique_ptr<Workspace> workspace, Kind kind,
                 py::object outputs, int64_t timeout_ns)
    : owner_(std::move(owner)),
      model_(model),
      workspace_(std::move(workspace)),
      kind_(kind),
      outputs_(std::move(outputs)) {
  workspace_->error().check(sidecall_call_fd(workspace_->call(), &fd_, workspace_->error().get()));
  is_started_ = workspace_->try_start(timeout_ns);
}

void Pending::start(int64_t timeout_ns) {
  if (workspace_ == nullptr)
    raise_status(SIDECALL_NOT_RUN, "the run was closed, or its outcome was already returned");
  workspace_->start(timeout_ns);
  is_started_ = true;
}

bool Pending::finish() {
  if (workspace_ == nullptr)
    raise_status(SIDECALL_NOT_RUN, "the run was closed, or its outcome was already returned");
  const sidecall_status status =
      sidecall_call_finish(workspace_->call(), 0, workspace_->error().get());
  if (status == SIDECALL_PENDING) return false;
  workspace_->error().check(status);
  return true;
}

py::object Pending::result() {
  if (workspace_ == nullptr)
    raise_status(SIDECALL_NOT_RUN, "the run was closed, or its outcome was already returned");
  return model_->collect(std::move(workspace_), kind_, outputs_);
}

void Pending::cancel() noexcept {
  if (workspace_ != nullptr) sidecall_call_cancel(workspace_->call());
}

}  // namespace sidecall_python
