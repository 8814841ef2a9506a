// The interface between calls and the engine that runs a model: ONNX Runtime, another process
// behind the channel, or a function. The C ABI chooses the engine; the code above this file treats
// all engines alike.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dtype.h"
#include "signature.h"

namespace sidecall {

// Why a run ended. Failures are thrown instead.
enum class Outcome { kDone, kInterrupted };

// The progress of a run in another process.
enum class Progress { kPending, kDone, kInterrupted };

// A tensor after a run. `data` is nullptr for strings.
struct OutputTensor {
  Dims dims;
  void* data = nullptr;
};

// The additional interface of a binding whose runs happen in another process. No thread of this
// process works on such a run or watches its deadline; the waiting functions themselves return when
// the deadline passes. Used by one thread at a time, but Binding::interrupt() ends a wait from any
// thread.
class RemoteRun {
 public:
  // Announces the shapes that inputs and outputs are going to have (nullopt: known only after a
  // run). One or more calls of allocate_input() follow. This is a hint, so that memory of the right
  // size is requested only once.
  virtual void expect(const std::vector<Dims>& inputs,
                      const std::vector<std::optional<Dims>>& outputs) = 0;

  // Sends the inputs and returns kPending. If the peer still works on a run that was given up,
  // waits for the peer first, within the timeout. Returns kInterrupted if the timeout passed, or
  // interrupt() was called, before anything was sent.
  virtual Progress begin(int64_t timeout_ns) = 0;

  // Whether begin() would return without waiting for the peer, either to connect or because the
  // peer still works on an earlier run. Never blocks.
  virtual bool is_ready() = 0;

  // Waits until the run is over (kDone), its deadline passed or interrupt() was called
  // (kInterrupted), or `wait_ns` passed (kPending). With wait_ns 0 it only checks; -1 sets no limit
  // of its own. An answer that has arrived takes precedence over the deadline and interrupt(). Once
  // the run is over, further calls return the same until the next begin().
  virtual Progress await(int64_t wait_ns) = 0;

  // Must be called once after kDone: makes the outputs readable, or throws the error of the run.
  virtual void take() = 0;

  // After a successful run: the address of an output of known shape; nullptr for strings.
  virtual void* known_output(int32_t output) = 0;

  // After kInterrupted: whether the peer no longer uses the memory of the run. Never blocks.
  virtual bool is_free() = 0;

  // A descriptor that is readable when await(0) may return something new, or is_free() after a run
  // was given up. Calling either makes it unreadable again. The descriptor stays the same during
  // the life of the binding.
  virtual int fd() = 0;

  // Only while no run is under way: makes fd() unreadable again if the peer sent a late wake-up or
  // ended.
  virtual void clear_fd() noexcept = 0;

 protected:
  ~RemoteRun() = default;
};

// The tensors of one call, bound once. Used by one thread at a time, except for interrupt().
class Binding {
 public:
  virtual ~Binding() = default;

  // Gives an input memory that the binding owns: aligned, and zeroed when it grows; strings become
  // empty. Keeps the present memory if it is large enough.
  virtual void allocate_input(int32_t input, const Dims& dims) = 0;
  virtual void* input_data(int32_t input) = 0;  // nullptr for strings
  virtual void set_string(int32_t input, int64_t element, std::string_view value) = 0;

  // Lets an input use the caller's memory, until the next allocate_input() or borrow_input().
  virtual void borrow_input(int32_t input, const void* data, const Dims& dims) = 0;

  // Sets the shape of an output. `dims` is nullptr if the shape is known only after a run. `data`
  // is the caller's memory, or nullptr for memory of the binding. Returns the address to which the
  // engine will write; nullptr for strings and unknown shapes. At first, outputs are shaped in the
  // order of the signature.
  virtual void* shape_output(int32_t output, const Dims* dims, void* data) = 0;

  // Returns an array with one entry per row. In each following run the engine writes there 0, or
  // the number of the step that refuses the row (see Engine::expect_refusals()). nullptr if another
  // process checks for refusals.
  virtual const int64_t* shape_refusals(int64_t /*rows*/) { return nullptr; }

  // timeout_ns applies only if remote() is not nullptr; -1 then means the default timeout of the
  // engine. Runs of other bindings are ended with interrupt(). Throws ENGINE, OUT_OF_MEMORY, and
  // the errors of the transport to the other process.
  virtual Outcome run(int64_t timeout_ns) = 0;
  virtual RemoteRun* remote() noexcept { return nullptr; }

  // May be called from any thread during a run, which should then end early with kInterrupted. The
  // request remains set until rearm().
  virtual void interrupt() noexcept = 0;
  virtual void rearm() noexcept = 0;

  // Only after a run that ended with kDone. output() is for outputs whose shape was unknown.
  virtual OutputTensor output(int32_t output) = 0;
  virtual void read_strings(int32_t output, std::string* bytes, std::vector<int64_t>* offsets) = 0;

  // Whether an output's memory may be read but not written.
  virtual bool is_read_only(int32_t /*output*/) const { return false; }
};

// A loaded model; shared by all threads.
class Engine {
 public:
  virtual ~Engine() = default;
  virtual void describe(std::vector<TensorSpec>* inputs,
                        std::vector<TensorSpec>* outputs) const = 0;

  // Called before the first bind() if the last output of describe() is hidden from callers. It is
  // int64[N] or int64[N,1] and tells which rows are refused.
  virtual void expect_refusals() {}

  // `is_lazy`: only the runs of the binding may wait for another process.
  virtual std::unique_ptr<Binding> bind(bool is_lazy) const = 0;
  virtual std::string version() const = 0;  // "onnxruntime 1.32.0"

  // The id of the model that runs now, if only the engine knows it: a restarted server may have
  // another model. Otherwise "".
  virtual std::string model_id() const { return {}; }
};

}  // namespace sidecall
