// The interface of an engine, which runs a model: ONNX Runtime, another process behind the channel,
// or a function. The C ABI chooses the engine; the code above this file treats all engines alike.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/contract/signature.h"
#include "execution_context.h"
#include "run_times.h"

namespace sidecall {

class OnnxFile;
struct Replica;

// Where the runs of a model happen. The numbers are those of SIDECALL_ROUTE_*.
enum class Route { kInProcess = 1, kOtherProcess = 2, kNetwork = 3 };

// A loaded model; shared by all threads.
class Engine {
 public:
  virtual ~Engine() = default;
  virtual Route route() const noexcept { return Route::kInProcess; }
  virtual void describe(std::vector<TensorSpec>* inputs,
                        std::vector<TensorSpec>* outputs) const = 0;

  // Called before the first make_context() if the last output of describe() is hidden from callers.
  // That output is int64[N] or int64[N,1] and tells which rows are refused.
  virtual void expect_refusals() {}

  // Makes the context in which one call runs the model. Only its runs may wait for another process:
  // this function and the functions for inputs and shapes must not. `lends_connection`:
  // ExecutionContext::lend_connection() will be called, so inputs must not lie in memory of the
  // connection.
  virtual std::unique_ptr<ExecutionContext> make_context(bool lends_connection) const = 0;
  virtual std::string version() const = 0;  // "onnxruntime 1.32.0"

  // Returns one value for each input: true if a run may read this input directly in memory that a
  // client of a server can change during the run. If the list is shorter, the server copies the
  // remaining inputs first. `file` is the file of this engine.
  virtual std::vector<bool> readable_in_place(const OnnxFile& /*file*/) const { return {}; }

  // If servers run the model: the servers that were not verified yet. Each must be accepted before
  // it gets runs of this engine.
  virtual std::vector<Replica> unverified_replicas() const { return {}; }

  // The id of the model that runs now, if only the engine knows it: a restarted server may have
  // another model. Otherwise "".
  virtual std::string model_id() const { return {}; }

  // The estimates for runs in this process. A remote engine notes none.
  RunTimes& run_times() const noexcept { return *run_times_; }

 private:
  std::shared_ptr<RunTimes> run_times_ = std::make_shared<RunTimes>();
};

// One of the servers behind an engine.
struct Replica {
  // Its runs go to this server only; version() names the server.
  std::unique_ptr<Engine> engine;
  // Call this once if the server may get runs. Without this call the server gets none, and is
  // checked again later.
  std::function<void()> accept;
};

// An engine, and one line for people that says why it runs the model: "the caller named it".
struct ChosenEngine {
  std::unique_ptr<Engine> engine;
  std::string reason;
};

}  // namespace sidecall
