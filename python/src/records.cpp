// Predicts for dicts and returns dicts. Features are expected in the order of the contract; a name
// that is not at its place is looked up in a dict.
#include <sidecall/binding.h>
#include <utility>

#include "model.h"

namespace sidecall_python {

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
void Model::set_record(Workspace* workspace, int64_t row, PyObject* record) const {
  sidecall_call* const call = workspace->call();
  if (!PyDict_Check(record) &&
      py::isinstance(record, py::module_::import("collections.abc").attr("Mapping"))) {
    return set_record(workspace, row, py::dict(py::reinterpret_borrow<py::object>(record)).ptr());
  }
  if (!PyDict_Check(record)) {
    workspace->error().check(sidecall_call_set_invalid(call, row, -1, type_name(record).c_str(),
                                                       workspace->error().get()));
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

// Raises the error for an empty list of records. The library has the text of the error: it refuses
// an empty JSON list.
void Model::refuse_no_rows() const {
  const ModelHandle model = handle();
  CallError error;
  sidecall_text* text = nullptr;
  const sidecall_status status = sidecall_predict_json(model.get(), "[]", 2, &text, error.get());
  sidecall_text_close(text);
  error.check(status);
}

std::unique_ptr<Workspace> Model::fill(PyObject* records, int64_t rows) {
  handle();
  if (rows == 0) refuse_no_rows();
  std::unique_ptr<Workspace> workspace = record_calls_.take_rows(handle_, rows);
  workspace->error().check(sidecall_call_clear(workspace->call(), workspace->error().get()));
  if (PyDict_Check(records)) {
    set_record(workspace.get(), 0, records);
    return workspace;
  }
  for (int64_t row = 0; row < rows; ++row) {
    // Access by index, because setting a record may run Python code that shortens the list.
    const auto record = py::reinterpret_steal<py::object>(PySequence_GetItem(records, row));
    if (!record) throw py::error_already_set();
    set_record(workspace.get(), row, record.ptr());
  }
  return workspace;
}

namespace {

int64_t rows_of(PyObject* records) {
  if (PyDict_Check(records)) return 1;
  return static_cast<int64_t>(PySequence_Size(records));
}

}  // namespace

py::object Model::predict(PyObject* records, int64_t timeout_ns) {
  std::unique_ptr<Workspace> workspace = fill(records, rows_of(records));
  workspace->run(timeout_ns);
  return collect(std::move(workspace),
                 PyDict_Check(records) ? Pending::Kind::kRecord : Pending::Kind::kRecords,
                 py::none());
}

std::unique_ptr<Pending> Model::start_predict(const py::object& self, PyObject* records,
                                              int64_t timeout_ns) {
  std::unique_ptr<Workspace> workspace = fill(records, rows_of(records));
  const auto kind = PyDict_Check(records) ? Pending::Kind::kRecord : Pending::Kind::kRecords;
  return std::make_unique<Pending>(self, this, std::move(workspace), kind, py::none(), timeout_ns);
}

void Model::put_records(std::unique_ptr<Workspace> workspace, int64_t rows) {
  constexpr uint64_t kBytesPerValue = 16;
  const uint64_t bytes =
      static_cast<uint64_t>(rows) * (features_.size() + columns_.size()) * kBytesPerValue;
  if (!is_closed()) record_calls_.put(std::move(workspace), bytes);
}

std::vector<sidecall_view> Model::views(Workspace* workspace) const {
  std::vector<sidecall_view> views(outputs_.size(), SIDECALL_VIEW_INIT);
  for (size_t i = 0; i < views.size(); ++i) {
    workspace->error().check(sidecall_call_output(workspace->call(), static_cast<int32_t>(i),
                                                  &views[i], workspace->error().get()));
  }
  return views;
}

py::object Model::records(Workspace* workspace, bool single) const {
  const std::vector<sidecall_view> outputs = views(workspace);
  const int64_t rows = sidecall_call_rows(workspace->call());
  py::list list;
  for (int64_t row = 0; row < rows; ++row) {
    py::dict record;
    py::object inner;
    for (size_t i = 0; i < columns_.size(); ++i) {
      const Column& column = columns_[i];
      const auto output = static_cast<size_t>(column.output);
      const py::object value =
          value_of(workspace->call(), outputs[output], row, static_cast<int32_t>(i), column);
      const bool is_first = i == 0 || columns_[i - 1].output != column.output;
      if (is_first) {
        inner = column.form == SIDECALL_FORM_SCALAR   ? value
                : column.form == SIDECALL_FORM_MEMBER ? py::object(py::dict())
                                                      : py::object(py::list());
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
    if (single) return record;
    list.append(record);
  }
  return list;
}

}  // namespace sidecall_python
