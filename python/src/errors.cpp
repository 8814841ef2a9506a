// Converts a sidecall_error to the exception that sidecall.errors has for its status.
#include "errors.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

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

// Never destroyed, because threads may still use the module while the process ends.
std::vector<std::unique_ptr<CallError::Room>>& CallError::unused() {
  static auto& list = *new std::vector<std::unique_ptr<Room>>();
  return list;
}

CallError::CallError() {
  if (!unused().empty()) {
    room_ = std::move(unused().back());
    unused().pop_back();
    return;
  }
  // NOLINTNEXTLINE(modernize-make-unique): make_unique would write zeroes into all of it.
  room_.reset(new Room);
  sidecall_error_init(&room_->error);
  room_->error.faults = room_->faults;
  room_->error.faults_capacity = sizeof room_->faults / sizeof room_->faults[0];
}

CallError::~CallError() {
  try {
    unused().push_back(std::move(room_));
  } catch (const std::bad_alloc&) {
    // Then it is freed.
  }
}

void CallError::raise(sidecall_status status) const {
  py::list faults;
  const sidecall_error& error = room_->error;
  const uint32_t stored = std::min(error.num_faults, error.faults_capacity);
  for (uint32_t i = 0; i < stored; ++i) {
    const sidecall_fault& fault = error.faults[i];
    faults.append(py::make_tuple(fault.status, row_or_none(fault.row), text_or_none(fault.name),
                                 text_or_none(fault.expected), text_or_none(fault.got),
                                 text_or_none(fault.message)));
  }
  raise_exception(make_exception(status, error, faults));
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
