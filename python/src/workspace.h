// A workspace: a call of the library together with what Python remembers about its inputs. Also the
// pools in which idle workspaces wait for the next run of the same shape. All of this is accessed
// only with the GIL held; the engine runs without the GIL.
#pragma once

#include <memory>
#include <vector>

#include "arrays.h"

namespace sidecall_python {

using ModelHandle = std::shared_ptr<sidecall_model>;

class Workspace {
 public:
  // kLazy connects to another process when the call runs. kConnected connects immediately,
  // without the GIL.
  enum class Kind { kLazy, kConnected };

  Workspace(const ModelHandle& model, int64_t rows, Kind kind = Kind::kLazy);
  ~Workspace() { sidecall_call_close(call_); }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  sidecall_call* call() const noexcept { return call_; }
  CallError& error() noexcept { return error_; }
  const ModelHandle& model() const noexcept { return model_; }

  // All but try_start() release the GIL while they work.
  void run(int64_t timeout_ns);
  void start(int64_t timeout_ns);
  bool try_start(int64_t timeout_ns);  // false if the start would wait for another process
  void resize(int64_t rows);
  void reshape(int32_t input, const std::vector<int64_t>& dims);

  // Writes small inputs directly to the memory of the call. Returns false if the type or shape of
  // an input differs from what remember() found, or if the library refuses an input.
  bool write(const std::vector<TensorSpec>& specs, PyObject* inputs);

  // Gives one input to the library, which checks it. If the engine reads the array in place, the
  // array is added to `keep`, which must live until the run is over. If `keep` is nullptr, the
  // array is always copied. A float32 array for a float64 input, or a float64 array for a float32
  // input, is always copied too, because the copy converts it.
  void give(int32_t input, PyObject* value, const TensorSpec& spec, std::vector<py::object>* keep);

  // Called after a run. If every input was small, remembers shapes and memory for write().
  void remember(size_t num_inputs);
  void forget() noexcept { inputs_.clear(); }
  bool is_remembered() const noexcept { return !inputs_.empty(); }

 private:
  struct Place {
    std::vector<int64_t> dims;
    void* data;
    size_t bytes;
  };

  ModelHandle model_;
  sidecall_call* call_ = nullptr;
  CallError error_;
  bool is_small_ = true;       // no input of this run is large, and none holds strings
  std::vector<Place> inputs_;  // as remember() found them; empty if nothing is remembered
};

// A pool of idle workspaces, with the most recently used one last.
class Pool {
 public:
  // An idle workspace with that many rows. If there is none, a new one; if the pool is full, the
  // oldest one, resized.
  std::unique_ptr<Workspace> take_rows(const ModelHandle& model, int64_t rows);

  // Writes these inputs to an idle workspace that remembers inputs of this kind (Workspace::write),
  // and takes it from the pool. Returns nullptr if there is none.
  std::unique_ptr<Workspace> take_written(const std::vector<TensorSpec>& specs, PyObject* inputs);

  // A workspace without remembered inputs: an idle one or, if there is none, a new one; if the pool
  // is full, the oldest one, after it has forgotten its inputs.
  std::unique_ptr<Workspace> take_any(const ModelHandle& model);

  // Adds the workspace to the pool unless it holds too much memory.
  void put(std::unique_ptr<Workspace> workspace, uint64_t bytes);
  void clear() { idle_.clear(); }

 private:
  std::unique_ptr<Workspace> take(size_t index);

  std::vector<std::unique_ptr<Workspace>> idle_;
};

}  // namespace sidecall_python
