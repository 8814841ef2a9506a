// The Python class Model: an open model with its tensors, features and columns by name. Used by the
// files for calls, records, data frames, asynchronous runs and servers.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "workspace.h"

namespace sidecall_python {

struct Feature {
  py::str name;  // interned
  std::string text;
  bool is_number = false;
  bool is_datetime = false;
  bool has_zone = false;  // of a datetime
};

struct Column {
  py::str name;
  py::str key;
  int32_t dtype;
  int32_t output;
  int32_t column;
  int32_t form;
};

class Model {
 public:
  Model() = default;
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;
  Model& operator=(Model&&) = default;
  void take(sidecall_model* model);  // once, before any other function; owns the model from here on

  const ModelHandle& handle() const;  // throws INVALID_ARGUMENT once closed
  void close();
  int32_t find(int32_t kind, PyObject* name) const;
  py::str verify() const;
  py::object id() const;

  // Takes a dict of arrays, or one array if the model has one input. Returns a dict of arrays.
  // `outputs` is a sequence of the names that are wanted, or None for all.
  py::object run(PyObject* inputs, PyObject* outputs, int64_t timeout_ns);

  // Takes a dict and returns a dict, or takes a list of dicts and returns a list of dicts.
  py::object predict(PyObject* records, int64_t timeout_ns);

  // Takes the columns of a data frame, each as (name, array, mask or None, type name or None), and
  // returns a list of (name, array). The type name is set only for a column whose type is refused.
  py::list predict_columns(const py::list& columns, int64_t rows, int64_t timeout_ns);

  // The two steps of run() and of predict() besides the run itself. `keep`: see Workspace::give().
  WorkspaceHandle give(PyObject* inputs, std::vector<py::object>* keep) const;
  py::object tensors(WorkspaceHandle workspace, const py::object& wanted) const;
  WorkspaceHandle fill(PyObject* records) const;
  py::object records(const Workspace& workspace, bool is_single) const;

  const std::vector<TensorSpec>& inputs() const noexcept { return inputs_; }
  const std::vector<TensorSpec>& outputs() const noexcept { return outputs_; }
  const std::vector<Feature>& features() const noexcept { return features_; }
  const std::vector<Column>& columns() const noexcept { return columns_; }
  py::dict describe() const;

 private:
  int64_t rows_of(PyObject* first) const;
  WorkspaceHandle take_rows(int64_t rows) const;
  void set_record(const Workspace& workspace, int64_t row, PyObject* record) const;
  int32_t feature_of(PyObject* name) const;
  std::vector<sidecall_view> views(const Workspace& workspace) const;

  ModelHandle handle_;
  std::vector<TensorSpec> inputs_;
  std::vector<TensorSpec> outputs_;
  std::vector<Feature> features_;
  std::vector<Column> columns_;
  py::dict feature_index_;
};

// Sets one feature of a call to a Python value. The library checks the value, returns a status, and
// remembers a fault until the run.
sidecall_status set_value(sidecall_call* call, int64_t row, int32_t feature, const Feature& spec,
                          PyObject* value, sidecall_error* err);

// One value of an output as a Python bool, int, float or str.
py::object value_of(sidecall_call* call, const sidecall_view& view, int64_t row, int32_t index,
                    const Column& column);

TensorSpec spec_of(const sidecall_tensor_spec& tensor);

// Each adds classes to the module.
void add_model(py::module_& module);
void add_call(py::module_& module);
void add_queue(py::module_& module);

}  // namespace sidecall_python
