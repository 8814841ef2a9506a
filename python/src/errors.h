// Raises failures of the library as Python exceptions; used by every file of the module.
#pragma once

#include <pybind11/pybind11.h>
#include <sidecall/sidecall.h>

#include <memory>
#include <string>

namespace sidecall_python {

namespace py = pybind11;

// The sidecall_error of one call, initialised once. The library fills it only on failure, so a run
// that succeeds does not pay for it.
class CallError {
 public:
  CallError();
  CallError(const CallError&) = delete;
  CallError& operator=(const CallError&) = delete;

  sidecall_error* get() noexcept { return &error_; }
  void check(sidecall_status status) {
    if (status != SIDECALL_OK) raise(status);
  }
  [[noreturn]] void raise(sidecall_status status) const;

  // Allocates room for all faults that the library keeps. Needed for calls that run, because the
  // outcome of a run can be taken only once. The memory is not touched before a failure.
  void make_room();

 private:
  sidecall_error error_;
  sidecall_fault few_[4];  // enough for errors of functions other than runs
  std::unique_ptr<sidecall_fault[]> faults_;
};

// Raises the exception for a failure that this module finds itself.
[[noreturn]] void raise_status(sidecall_status status, const std::string& message);

// The last part of the name of a value's type: "list" for a list.
std::string type_name(PyObject* value);

}  // namespace sidecall_python
