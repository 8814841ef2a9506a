// A call of the library with what Python remembers about it, and the pools in which idle ones wait for the next run of
// the same shape. All of this is touched under the GIL only; the engine runs outside it.
#pragma once

#include <memory>
#include <vector>

#include "arrays.h"

namespace sidecall_python {

using ModelHandle = std::shared_ptr<sidecall_model>;

class Slot {
 public:
  enum class Kind {
    kLazy,
    kConnected
  };  // connects to another process when it runs, or now, without the GIL

  Slot(const ModelHandle& model, int64_t rows, Kind kind = Kind::kLazy);
  ~Slot() { sidecall_call_close(call_); }
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;

  sidecall_call* call() const noexcept { return call_; }
  CallError& error() noexcept { return error_; }
  const ModelHandle& model() const noexcept { return model_; }

  // Runs, and give(), ask again when there were more faults than room, so that all are reported. All but try_start() work without the GIL.
  void run(int64_t timeout_ns);
  void start(int64_t timeout_ns);
  bool try_start(int64_t timeout_ns);  // false where that would wait for another process
  void resize(int64_t rows);
  void reshape(int32_t input, const std::vector<int64_t>& dims);

  // Writes small inputs straight into the call's memory. False when one is not like those of the last run, or is refused.
  bool write(const std::vector<TensorSpec>& specs, PyObject* inputs);

  // Gives one input to the library, which checks it. `keep` then holds what the engine reads in place; without it everything is copied, as is a
  // float32 array for a float64 input and the other way round, which the copy converts.
  void give(int32_t input, PyObject* value, const TensorSpec& spec, std::vector<py::object>* keep);

  // After a run: remembers shapes and memory for write(), if every input was small.
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
  bool is_small_ = true;       // no input of this run was borrowed, none holds strings
  std::vector<Place> inputs_;  // empty: hand everything over anew
};

// Idle calls, most recently used last.
class Pool {
 public:
  // An idle call of that many rows, else a fresh one, else the oldest, resized.
  std::unique_ptr<Slot> take_rows(const ModelHandle& model, int64_t rows);

  // The call whose memory took these inputs, or nullptr.
  std::unique_ptr<Slot> take_written(const std::vector<TensorSpec>& specs, PyObject* inputs);

  // A call without remembered inputs: idle or fresh, else the oldest.
  std::unique_ptr<Slot> take_any(const ModelHandle& model);

  // Keeps the call unless it holds more memory than is worth keeping.
  void put(std::unique_ptr<Slot> slot, uint64_t bytes);
  void clear() { idle_.clear(); }

 private:
  std::unique_ptr<Slot> take(size_t index);

  std::vector<std::unique_ptr<Slot>> idle_;
};

}  // namespace sidecall_python
