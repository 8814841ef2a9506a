// A workspace: a call of the library, from the pool of its model. All of this is accessed only with
// the GIL held; the engine runs without the GIL.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "arrays.h"

namespace sidecall_python {

using ModelHandle = std::shared_ptr<sidecall_model>;

class Workspace {
 public:
  // kPooled takes a call of the pool, and gives it back at the end; it connects to another process
  // when it runs. kOwn opens a call, without the GIL.
  enum class Kind { kPooled, kOwn };

  Workspace(ModelHandle model, int64_t rows, Kind kind = Kind::kPooled);
  ~Workspace();
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  sidecall_call* call() const noexcept { return call_; }
  const ModelHandle& model() const noexcept { return model_; }

  // Calls `function(call, err)` of the library, and raises its failure.
  template <typename Function>
  void check(const Function& function) const {
    CallError error;
    error.check(function(call_, error.get()));
  }
  void run(int64_t timeout_ns);  // without the GIL

  // Gives one input to the library, which checks it. If the engine reads the array in place, the
  // array is added to `keep`, which must live until the run is over. If `keep` is nullptr, the
  // array is always copied. A float32 array for a float64 input, or a float64 array for a float32
  // input, is always copied too, because the copy converts it.
  void give(int32_t input, PyObject* value, const TensorSpec& spec, std::vector<py::object>* keep);

  // Raises the error of an input whose value has a type that the library does not have.
  void refuse(int32_t input, const std::string& type) const;

  sidecall_view output(size_t index) const;

 private:
  bool give_view(int32_t input, const sidecall_view& view, bool may_bind);

  ModelHandle model_;
  sidecall_call* call_ = nullptr;
  const Kind kind_;
};

using WorkspaceHandle = std::unique_ptr<Workspace>;

}  // namespace sidecall_python
