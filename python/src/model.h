// The Python class Model: an open model with its tensors, features and columns by name, and with
// pools of idle workspaces. Used by the files for calls, records, data frames and servers.
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

class Model;

// A run under way on a thread of the library or in another process. It may also not be started yet,
// because starting it would have to wait for the other process; is_started() tells.
class Pending {
 public:
  enum class Kind { kTensors, kRecord, kRecords };

  Pending() = default;
  Pending(py::object owner, Model* model, std::unique_ptr<Workspace> workspace, Kind kind,
          py::object outputs, int64_t timeout_ns);

  bool is_started() const noexcept { return is_started_; }
  void start(int64_t timeout_ns);  // waits, without the GIL
  int fd() const noexcept { return fd_; }
  bool finish();
  py::object result();
  void cancel() noexcept;
  // Cancels the run. Never waits: the library keeps the memory that the engine still uses, and none
  // of it belongs to Python.
  void close() noexcept { workspace_.reset(); }

 private:
  py::object owner_;  // keeps model_ alive
  Model* model_ = nullptr;
  std::unique_ptr<Workspace> workspace_;
  Kind kind_ = Kind::kTensors;
  py::object outputs_;
  int32_t fd_ = -1;
  bool is_started_ = false;
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
  bool is_closed() const noexcept { return handle_ == nullptr; }
  int32_t find(int32_t kind, PyObject* name) const;
  py::str verify() const;
  py::object id() const;

  // Takes a dict of arrays, or one array if the model has one input. Returns a dict of arrays.
  // `outputs` is a sequence of the names that are wanted, or None for all.
  py::object run(PyObject* inputs, PyObject* outputs, int64_t timeout_ns);
  std::unique_ptr<Pending> start_run(const py::object& self, PyObject* inputs,
                                     const py::object& outputs, int64_t timeout_ns);

  // Takes a dict and returns a dict, or takes a list of dicts and returns a list of dicts.
  py::object predict(PyObject* records, int64_t timeout_ns);
  std::unique_ptr<Pending> start_predict(const py::object& self, PyObject* records,
                                         int64_t timeout_ns);

  // Takes the columns of a data frame, each as (name, array, mask or None, type name or None), and
  // returns a list of (name, array). The type name is set only for a column whose type is refused.
  py::list predict_columns(const py::list& columns, int64_t rows, int64_t timeout_ns);

  // The answer of a run that is over. Gives the workspace back to its pool.
  py::object collect(std::unique_ptr<Workspace> workspace, Pending::Kind kind,
                     const py::object& outputs);

  const std::vector<TensorSpec>& inputs() const noexcept { return inputs_; }
  const std::vector<TensorSpec>& outputs() const noexcept { return outputs_; }
  const std::vector<Feature>& features() const noexcept { return features_; }
  const std::vector<Column>& columns() const noexcept { return columns_; }
  py::dict describe() const;

 private:
  // `keep`: see Workspace::give().
  std::unique_ptr<Workspace> give(PyObject* inputs, std::vector<py::object>* keep);
  std::unique_ptr<Workspace> fill(PyObject* records, int64_t rows);
  void refuse_no_rows() const;
  void set_record(Workspace* workspace, int64_t row, PyObject* record) const;
  int32_t feature_of(PyObject* name) const;
  void put_tensors(std::unique_ptr<Workspace> workspace, uint64_t bytes);
  void put_records(std::unique_ptr<Workspace> workspace, int64_t rows);
  py::object tensors(std::unique_ptr<Workspace> workspace, const py::object& wanted);
  py::object records(Workspace* workspace, bool single) const;
  std::vector<sidecall_view> views(Workspace* workspace) const;

  ModelHandle handle_;
  std::vector<TensorSpec> inputs_;
  std::vector<TensorSpec> outputs_;
  std::vector<Feature> features_;
  std::vector<Column> columns_;
  py::dict feature_index_;
  Pool tensor_calls_;
  Pool record_calls_;
};

// Sets one feature of a call to a Python value. The library checks the value, returns a status, and
// remembers a fault until the run.
sidecall_status set_value(sidecall_call* call, int64_t row, int32_t feature, const Feature& spec,
                          PyObject* value, sidecall_error* err);

// One value of an output as a Python bool, int, float or str.
py::object value_of(sidecall_call* call, const sidecall_view& view, int64_t row, int32_t index,
                    const Column& column);

TensorSpec spec_of(const sidecall_tensor_spec& tensor);

// Adds Model, Pending and Call to the module.
void add_model(py::module_& module);
void add_call(py::module_& module);

}  // namespace sidecall_python
