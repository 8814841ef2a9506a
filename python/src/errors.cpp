// Converts a sidecall_error to the exception that sidecall.errors has for its status.
#include "errors.h"

#include <cstring>

namespace sidecall_python {
namespace {

py::object text_or_none(const char* text) {
  if (*text == '\0') return py::none();
  return py::reinterpret_steal<py::object>(
      PyUnicode_DecodeUTF8(text, static_cast<Py_ssize_t>(std::strlen(text)), "replace"));
}

py::object row_or_none(int64_t row) {
  return row < 0 ? py::object(py::none()) : py::object(py::int_(row));
}

[[noreturn]] void raise_exception(const py::object& exception) {
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception.ptr())), exception.ptr());
  throw py::error_already_set();
}

py::object make_exception(sidecall_status status, const sidecall_error& error,
                          const py::list& faults) {
  const py::object make = py::module_::import("sidecall.errors").attr("make");
  return make(status, text_or_none(error.message), py::bool_(error.retryable != 0),
              row_or_none(error.row), text_or_none(error.name), text_or_none(error.expected),
              text_or_none(error.got), faults);
}

}  // namespace

CallError::CallError() {
  sidecall_error_init(&error_);
  error_.faults = few_;
  error_.faults_capacity = sizeof few_ / sizeof few_[0];
}

void CallError::raise(sidecall_status status) const {
  py::list faults;
  const uint32_t stored =
      error_.num_faults < error_.faults_capacity ? error_.num_faults : error_.faults_capacity;
  for (uint32_t i = 0; i < stored; ++i) {
    const sidecall_fault& fault = error_.faults[i];
    faults.append(py::make_tuple(fault.status, row_or_none(fault.row), text_or_none(fault.name),
                                 text_or_none(fault.expected), text_or_none(fault.got),
                                 text_or_none(fault.message)));
  }
  raise_exception(make_exception(status, error_, faults));
}

void CallError::make_room() {
  constexpr uint32_t kMaxFaults = 1000;  // the most that the library keeps
  // NOLINTNEXTLINE(modernize-make-unique): make_unique would write zeroes into all of it.
  faults_.reset(new sidecall_fault[kMaxFaults]);
  error_.faults = faults_.get();
  error_.faults_capacity = kMaxFaults;
}

void raise_status(sidecall_status status, const std::string& message) {
  const py::object make = py::module_::import("sidecall.errors").attr("make");
  raise_exception(make(status, message));
}

std::string type_name(PyObject* value) {
  const char* full = Py_TYPE(value)->tp_name;
  const char* dot = std::strrchr(full, '.');
  return dot == nullptr ? full : dot + 1;
}

}  // namespace sidecall_python
