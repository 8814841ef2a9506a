// Opens and closes models and runs them on tensors; see model.h.
#include "model.h"

#include <algorithm>
#include <utility>

#include "gil.h"

namespace sidecall_python {
namespace {

// A larger output is not copied: the array uses the memory of the call, which goes back to the pool
// when the array is gone.
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

void Model::close() { handle_.reset(); }

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

// The rows of a call that gets this value for the first input. A guess is enough: the call takes
// the shape of each input that it gets.
int64_t Model::rows_of(PyObject* first) const {
  if (first == nullptr) return 1;
  sidecall_view view = SIDECALL_VIEW_INIT;
  const TensorSpec& spec = inputs_[0];
  if (spec.dims.empty() || spec.dims[0] >= 0 || !view_in_place(first, spec, &view) ||
      view.rank == 0)
    return 1;
  return std::max<int64_t>(view.dims[0], 1);
}

WorkspaceHandle Model::give(PyObject* inputs, std::vector<py::object>* keep) const {
  handle();
  if (!PyDict_CheckExact(inputs) &&
      !py::isinstance(inputs, py::module_::import("collections.abc").attr("Mapping"))) {
    const bool is_single = inputs_.size() == 1;
    auto workspace = std::make_unique<Workspace>(handle(), rows_of(is_single ? inputs : nullptr));
    // Otherwise no input is given, and the run reports the first one as missing.
    if (is_single) workspace->give(0, inputs, inputs_[0], keep);
    return workspace;
  }
  // A copy, because converting a value may run code of the caller that changes the dict.
  const auto items = py::reinterpret_steal<py::dict>(
      PyDict_Copy(py::dict(py::reinterpret_borrow<py::object>(inputs)).ptr()));
  PyObject* const first =
      inputs_.empty() ? nullptr : PyDict_GetItem(items.ptr(), inputs_[0].name.ptr());
  auto workspace = std::make_unique<Workspace>(handle(), rows_of(first));
  PyObject* name = nullptr;
  PyObject* value = nullptr;
  size_t guess = 0;
  for (Py_ssize_t at = 0; PyDict_Next(items.ptr(), &at, &name, &value) != 0; ++guess) {
    const bool is_guessed = guess < inputs_.size() && inputs_[guess].name.ptr() == name;
    const size_t input = is_guessed ? guess : static_cast<size_t>(find(SIDECALL_KIND_INPUT, name));
    workspace->give(static_cast<int32_t>(input), value, inputs_[input], keep);
  }
  return workspace;
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
  WorkspaceHandle workspace = give(inputs, &keep);
  workspace->run(timeout_ns);
  return tensors(std::move(workspace), py::reinterpret_borrow<py::object>(outputs));
}

py::object Model::tensors(WorkspaceHandle workspace, const py::object& wanted) const {
  std::vector<size_t> order;
  if (!wanted.is_none()) {
    for (const py::handle name : wanted)
      order.push_back(static_cast<size_t>(find(SIDECALL_KIND_OUTPUT, name.ptr())));
  }
  const size_t count = wanted.is_none() ? outputs_.size() : order.size();
  const Workspace& lent = *workspace;
  py::dict result;
  py::object owner;
  for (size_t k = 0; k < count; ++k) {
    const size_t i = wanted.is_none() ? k : order[k];
    const sidecall_view view = lent.output(i);
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
  }
  return result;
}

}  // namespace sidecall_python
