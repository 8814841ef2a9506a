// Leaving and taking the GIL, safely at the end of the interpreter; the only place that does either.
#pragma once

#include <pybind11/pybind11.h>
#include <unistd.h>

namespace sidecall_python {

// Calls `take`, which takes the GIL. Where the interpreter is ending, a thread does not get it any more. CPython 3.14 then lets the thread
// sleep until the process is over. 3.11 to 3.13 call pthread_exit(), which unwinds our frames: their destructors need the GIL, and those that
// are noexcept call std::terminate(). So that unwinding stops here, and the thread sleeps as in 3.14.
template <typename Take>
void take_gil(const Take& take) noexcept {
  try {
    take();
  } catch (...) {
    for (;;) ::pause();
  }
}

// A scope without the GIL.
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

// A scope with the GIL, on a thread of the library. The first time on a thread its Python state is made to stay: making one costs more than a
// call.
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
