// Raises failures of the library as Python exceptions; used by every file of the module.
#pragma once

#include <pybind11/pybind11.h>
#include <sidecall/sidecall.h>

#include <memory>
#include <string>
#include <vector>

namespace sidecall_python {

namespace py = pybind11;

// A sidecall_error with room for all faults that the library keeps. The room is large, so it is
// used again later. The library fills it only on failure, so success does not pay for it. Construct
// and destroy it only with the GIL held.
class CallError {
 public:
  CallError();
  ~CallError();
  CallError(const CallError&) = delete;
  CallError& operator=(const CallError&) = delete;

  sidecall_error* get() noexcept { return &room_->error; }
  void check(sidecall_status status) {
    if (status != SIDECALL_OK) raise(status);
  }
  [[noreturn]] void raise(sidecall_status status) const;

 private:
  struct Room {
    sidecall_error error;
    sidecall_fault faults[1000];  // the library keeps no more
  };
  static std::vector<std::unique_ptr<Room>>& unused();

  std::unique_ptr<Room> room_;
};

// Raises the exception for a failure that this module finds itself.
[[noreturn]] void raise_status(sidecall_status status, const std::string& message);

// The last part of the name of a value's type: "list" for a list.
std::string type_name(PyObject* value);

}  // namespace sidecall_python
