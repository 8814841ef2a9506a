// Predicts for dicts and returns dicts. Features are expected in the order of the contract; a name
// that is not at its place is looked up in a dict.
#include <sidecall/binding.h>
#include <utility>

#include "model.h"

namespace sidecall_python {
namespace {

// Takes an object that was made just now. If there was no memory for it, raises MemoryError; the
// constructors of pybind11 raise RuntimeError.
template <typename Type>
Type made(PyObject* object) {
  if (object == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<Type>(object);
}

}  // namespace

// The index of the feature with this name, or -1.
int32_t Model::feature_of(PyObject* name) const {
  PyObject* index = PyDict_GetItemWithError(feature_index_.ptr(), name);
  if (index == nullptr) {
    if (PyErr_Occurred()) throw py::error_already_set();
    return -1;
  }
  return static_cast<int32_t>(PyLong_AsLong(index));
}

// Sets the features of one row. The library remembers faults and the run reports them, so this
// function does not check most statuses. A record that is not a mapping is refused here, before the
// run.
void Model::set_record(const Workspace& workspace, int64_t row, PyObject* record) const {
  sidecall_call* const call = workspace.call();
  if (!PyDict_Check(record) &&
      py::isinstance(record, py::module_::import("collections.abc").attr("Mapping"))) {
    return set_record(workspace, row, py::dict(py::reinterpret_borrow<py::object>(record)).ptr());
  }
  if (!PyDict_Check(record)) {
    workspace.check([&](sidecall_call*, sidecall_error* err) {
      return sidecall_call_set_invalid(call, row, -1, type_name(record).c_str(), err);
    });
  }
  size_t guess = 0;
  PyObject* name = nullptr;
  PyObject* value = nullptr;
  for (Py_ssize_t at = 0; PyDict_Next(record, &at, &name, &value) != 0;) {
    const bool guessed = guess < features_.size() && features_[guess].name.ptr() == name;
    // Looking up a name may run code of its class, which may remove the name and its value from the
    // record.
    py::object kept_name, kept_value;
    if (!guessed) {
      kept_name = py::reinterpret_borrow<py::object>(name);
      kept_value = py::reinterpret_borrow<py::object>(value);
    }
    const int32_t feature = guessed ? static_cast<int32_t>(guess) : feature_of(name);
    if (feature >= 0) {
      guess = static_cast<size_t>(feature) + 1;
      set_value(call, row, feature, features_[static_cast<size_t>(feature)], value, nullptr);
      continue;
    }
    const py::object text = PyUnicode_Check(name) ? py::reinterpret_borrow<py::object>(name)
                                                  : py::object(py::str(py::handle(name)));
    py::object holder;
    const std::string_view unknown = utf8_of(text.ptr(), &holder);
    sidecall_call_set_unknown(call, row, unknown.data(), unknown.size(), nullptr);
  }
}

// A call for that many rows. The library has the text of the error for an empty list of records: it
// refuses an empty JSON list.
WorkspaceHandle Model::take_rows(int64_t rows) const {
  const ModelHandle& model = handle();
  if (rows == 0) {
    CallError error;
    sidecall_text* text = nullptr;
    const sidecall_status status = sidecall_predict_json(model.get(), "[]", 2, &text, error.get());
    sidecall_text_close(text);
    error.check(status);
  }
  auto workspace = std::make_unique<Workspace>(model, rows);
  // All features are missing from here on, also for a record without any. Refuses a model without
  // features.
  workspace->check(sidecall_call_clear);
  return workspace;
}

WorkspaceHandle Model::fill(PyObject* records) const {
  if (PyDict_Check(records)) {
    WorkspaceHandle workspace = take_rows(1);
    set_record(*workspace, 0, records);
    return workspace;
  }
  const auto rows = static_cast<int64_t>(PySequence_Size(records));
  WorkspaceHandle workspace = take_rows(rows);
  for (int64_t row = 0; row < rows; ++row) {
    // Access by index, because setting a record may run Python code that shortens the list.
    const auto record = py::reinterpret_steal<py::object>(PySequence_GetItem(records, row));
    if (!record) throw py::error_already_set();
    set_record(*workspace, row, record.ptr());
  }
  return workspace;
}

py::object Model::predict(PyObject* records, int64_t timeout_ns) {
  const WorkspaceHandle workspace = fill(records);
  workspace->run(timeout_ns);
  return this->records(*workspace, PyDict_Check(records));
}

std::vector<sidecall_view> Model::views(const Workspace& workspace) const {
  std::vector<sidecall_view> views;
  for (size_t i = 0; i < outputs_.size(); ++i) views.push_back(workspace.output(i));
  return views;
}

py::object Model::records(const Workspace& workspace, bool is_single) const {
  const std::vector<sidecall_view> outputs = views(workspace);
  const int64_t rows = sidecall_call_rows(workspace.call());
  auto list = made<py::list>(PyList_New(0));
  for (int64_t row = 0; row < rows; ++row) {
    auto record = made<py::dict>(PyDict_New());
    py::object inner;
    for (size_t i = 0; i < columns_.size(); ++i) {
      const Column& column = columns_[i];
      const auto output = static_cast<size_t>(column.output);
      const py::object value =
          value_of(workspace.call(), outputs[output], row, static_cast<int32_t>(i), column);
      const bool is_first = i == 0 || columns_[i - 1].output != column.output;
      if (is_first) {
        inner = column.form == SIDECALL_FORM_SCALAR   ? value
                : column.form == SIDECALL_FORM_MEMBER ? made<py::object>(PyDict_New())
                                                      : made<py::object>(PyList_New(0));
        if (PyDict_SetItem(record.ptr(), outputs_[output].name.ptr(), inner.ptr()) != 0)
          throw py::error_already_set();
      }
      if (column.form == SIDECALL_FORM_MEMBER) {
        if (PyDict_SetItem(inner.ptr(), column.key.ptr(), value.ptr()) != 0)
          throw py::error_already_set();
      } else if (column.form == SIDECALL_FORM_ELEMENT) {
        if (PyList_Append(inner.ptr(), value.ptr()) != 0) throw py::error_already_set();
      }
    }
    if (is_single) return record;
    if (PyList_Append(list.ptr(), record.ptr()) != 0) throw py::error_already_set();
  }
  return list;
}

}  // namespace sidecall_python
