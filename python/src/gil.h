// Releases and acquires the GIL, safely even while the interpreter ends. The other files of the
// module do both only through the functions and classes of this file.
#pragma once

#include <pybind11/pybind11.h>
#include <unistd.h>

namespace sidecall_python {

// Calls `take`, which acquires the GIL. While the interpreter ends, a thread cannot acquire it any
// more. CPython 3.14 then blocks the thread until the process ends. 3.11 to 3.13 call
// pthread_exit(), which unwinds our frames: their destructors need the GIL, and unwinding through a
// noexcept function calls std::terminate(). So this function stops the unwinding and blocks the
// thread as 3.14 does.
template <typename Take>
void take_gil(const Take& take) noexcept {
  try {
    take();
  } catch (...) {
    for (;;) ::pause();
  }
}

// Releases the GIL for a scope.
class WithoutGil {
 public:
  WithoutGil() : thread_(PyEval_SaveThread()) {}
  ~WithoutGil() {
    take_gil([this] { PyEval_RestoreThread(thread_); });
  }
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;

 private:
  PyThreadState* thread_;
};

template <typename Body>
auto without_gil(const Body& body) {
  const WithoutGil scope;
  return body();
}

// Holds the GIL for a scope, on a thread of the library. The first time on a thread it creates a
// Python thread state that is kept, because creating one for each call costs more than the call.
class WithGil {
 public:
  WithGil() {
    if (PyGILState_GetThisThreadState() == nullptr) {
      take_gil([] { PyGILState_Ensure(); });
      PyEval_SaveThread();
    }
    take_gil([this] { state_ = PyGILState_Ensure(); });
  }
  ~WithGil() { PyGILState_Release(state_); }
  WithGil(const WithGil&) = delete;
  WithGil& operator=(const WithGil&) = delete;

 private:
  PyGILState_STATE state_ = PyGILState_UNLOCKED;
};

}  // namespace sidecall_python
