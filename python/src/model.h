// An open model as Python sees it: its tensors, features and columns by name, and its kept calls.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "slot.h"

namespace sidecall_python {

struct Feature {
  py::str name;  // interned
  std::string text;
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

// A run under way on the library's own threads or in another process; or one that is still to be started, because that would wait for the other process.
class Pending {
 public:
  enum class Kind { kTensors, kRecord, kRecords };

  Pending(py::object owner, Model* model, std::unique_ptr<Slot> slot, Kind kind, py::object outputs,
          int64_t timeout_ns);

  bool is_started() const noexcept { return is_started_; }
  void start(int64_t timeout_ns);  // waits, without the GIL
  int fd() const noexcept { return fd_; }
  bool finish();
  py::object result();
  void cancel() noexcept;
  // Cancels the run. Never waits: what the engine still uses is left to the library, and none of it is memory of Python.
  void close() noexcept { slot_.reset(); }

 private:
  py::object owner_;  // keeps the model
  Model* model_;
  std::unique_ptr<Slot> slot_;
  Kind kind_;
  py::object outputs_;
  int32_t fd_ = -1;
  bool is_started_ = false;
};

class Model {
 public:
  explicit Model(sidecall_model* model);

  const ModelHandle& handle() const;  // throws INVALID_ARGUMENT once closed
  void close();
  bool is_closed() const noexcept { return handle_ == nullptr; }
  int32_t find(int32_t kind, PyObject* name) const;
  py::str verify() const;
  py::object id() const;

  // A dict of arrays (or the only input's array) to a dict of arrays. `outputs` is None or a sequence of names.
  py::object run(PyObject* inputs, PyObject* outputs, int64_t timeout_ns);
  std::unique_ptr<Pending> start_run(const py::object& self, PyObject* inputs,
                                     const py::object& outputs, int64_t timeout_ns);

  // A dict to a dict, or a list of dicts to a list of dicts.
  py::object predict(PyObject* records, int64_t timeout_ns);
  std::unique_ptr<Pending> start_predict(const py::object& self, PyObject* records,
                                         int64_t timeout_ns);

  // Columns of a frame, each (name, array, mask or None, type name or None), to a list of (name, array).
  py::list predict_columns(const py::list& columns, int64_t rows, int64_t timeout_ns);

  // The answer of a run that is over; gives the call back to its pool.
  py::object collect(std::unique_ptr<Slot> slot, Pending::Kind kind, const py::object& outputs);

  const std::vector<TensorSpec>& inputs() const noexcept { return inputs_; }
  const std::vector<TensorSpec>& outputs() const noexcept { return outputs_; }
  const std::vector<Feature>& features() const noexcept { return features_; }
  const std::vector<Column>& columns() const noexcept { return columns_; }
  py::dict describe() const;

 private:
  std::unique_ptr<Slot> give(PyObject* inputs,
                             std::vector<py::object>* keep);  // `keep` as in Slot::give()
  std::unique_ptr<Slot> fill(PyObject* records, int64_t rows);
  void refuse_no_rows() const;
  void set_record(Slot* slot, int64_t row, PyObject* record) const;
  int32_t feature_of(PyObject* name) const;
  void put_tensors(std::unique_ptr<Slot> slot, uint64_t bytes);
  void put_records(std::unique_ptr<Slot> slot, int64_t rows);
  py::object tensors(std::unique_ptr<Slot> slot, const py::object& wanted);
  py::object records(Slot* slot, bool single) const;
  std::vector<sidecall_view> views(Slot* slot) const;

  ModelHandle handle_;
  std::vector<TensorSpec> inputs_;
  std::vector<TensorSpec> outputs_;
  std::vector<Feature> features_;
  std::vector<Column> columns_;
  py::dict feature_index_;
  Pool tensor_calls_;
  Pool record_calls_;
};

// Hands one Python value to the call; the library judges it, answers, and remembers a fault until the run.
sidecall_status set_value(sidecall_call* call, int64_t row, int32_t feature, PyObject* value,
                          sidecall_error* err);

// One value of an output as Python knows it: bool, int, float or str.
py::object value_of(sidecall_call* call, const sidecall_view& view, int64_t row, int32_t index,
                    const Column& column);

TensorSpec spec_of(const sidecall_tensor_spec& tensor);

// Adds Model, Pending and Call to the module.
void add_model(py::module_& module);
void add_call(py::module_& module);

}  // namespace sidecall_python
