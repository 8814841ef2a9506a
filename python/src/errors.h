// Failures of the library as Python exceptions; used by every file of the module.
#pragma once

#include <pybind11/pybind11.h>
#include <sidecall/sidecall.h>

#include <memory>
#include <string>

namespace sidecall_python {

namespace py = pybind11;

// The error of one call, made once: the library fills it on failure only, so that a run that succeeds does not pay for it.
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

  // Room for all faults that the library keeps, for what runs a call: its outcome is given once. Nothing of that memory is touched before a failure.
  void make_room();

 private:
  sidecall_error error_;
  sidecall_fault few_[4];  // room for what other errors hold
  std::unique_ptr<sidecall_fault[]> faults_;
};

// Raises the exception for what only Python can see.
[[noreturn]] void raise_status(sidecall_status status, const std::string& message);

// "list" for a list: the last part of a type's name.
std::string type_name(PyObject* value);

}  // namespace sidecall_python
