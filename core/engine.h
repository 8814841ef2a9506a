// What runs a model: the seam between calls and ONNX Runtime, another process behind the channel, other engines. The C ABI picks the
// route; everything above this file works alike on all of them.
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

// Why a run ended. Failures are thrown.
enum class Outcome { kDone, kInterrupted };

// How far a run in another process is.
enum class Progress { kPending, kDone, kInterrupted };

// A tensor after a run. `data` is nullptr for strings.
struct OutputTensor {
  Dims dims;
  void* data = nullptr;
};

// The side of a binding whose runs happen in another process. No thread of this one works on them or watches their deadlines, which are
// exact: the waiting itself ends. Used by one thread at a time; Binding::interrupt() ends a waiting from any.
class RemoteRun {
 public:
  // The shapes that inputs and outputs (nullopt: only a run can tell) are going to have: one or more allocate_input() follow. A hint, so that
  // memory of the right size is asked for once.
  virtual void expect(const std::vector<Dims>& inputs,
                      const std::vector<std::optional<Dims>>& outputs) = 0;

  // Hands the inputs over and returns. Where the peer still works on a run that was given up, waits for it first, within the timeout:
  // kInterrupted when that passed, or interrupt() came, before anything was sent. Otherwise kPending.
  virtual Progress begin(int64_t timeout_ns) = 0;

  // Whether begin() would not wait for the peer, neither to connect nor until it lets go of an earlier run. Never blocks.
  virtual bool is_ready() = 0;

  // Waits until the run is over, its deadline has passed, interrupt() came, or `wait_ns` passed (kPending; 0 only looks, -1 waits for the others).
  // An answer that is there wins. What is over stays so until the next begin().
  virtual Progress await(int64_t wait_ns) = 0;

  // Once after kDone: makes outputs readable, or throws what the run ended with.
  virtual void take() = 0;

  // After a run that succeeded: where an output of known shape lies now; nullptr for strings.
  virtual void* known_output(int32_t output) = 0;

  // After kInterrupted: whether the peer has let go of the run's memory. Never blocks.
  virtual bool is_free() = 0;

  // Readable when await(0) may have news of a run, or is_free() after it was given up; either makes it unreadable. The same for the binding's life.
  virtual int fd() = 0;

  // Without a run under way: makes fd() unreadable, where the peer rang late, or ended.
  virtual void hush() noexcept = 0;

 protected:
  ~RemoteRun() = default;
};

// One call's tensors, bound once. Used by one thread at a time, except interrupt().
class Binding {
 public:
  virtual ~Binding() = default;

  // Own memory for an input: aligned, zeroed when it grows; strings become empty. Keeps the memory where the size allows.
  virtual void allocate_input(int32_t input, const Dims& dims) = 0;
  virtual void* input_data(int32_t input) = 0;  // nullptr for strings
  virtual void set_string(int32_t input, int64_t element, std::string_view value) = 0;

  // The caller's memory for an input, until the next allocate or borrow.
  virtual void borrow_input(int32_t input, const void* data, const Dims& dims) = 0;

  // Tells the shape that an output will have, or that only a run can tell (nullptr). `data` is the caller's memory, or nullptr for own.
  // Returns where the engine will write; nullptr for strings and unknown shapes. Outputs are shaped in the order of the signature at first.
  virtual void* shape_output(int32_t output, const Dims* dims, void* data) = 0;

  // Where the engine will write, for each row of the next runs, 0 or the number of the step that refuses it (Engine::expect_refusals); nullptr where
  // another process looks at that.
  virtual const int64_t* shape_refusals(int64_t /*rows*/) { return nullptr; }

  // timeout_ns counts where remote() is not nullptr, with -1 for the route's default: others are interrupted from outside.
  // Throws ENGINE, OUT_OF_MEMORY, and what belongs to the route.
  virtual Outcome run(int64_t timeout_ns) = 0;
  virtual RemoteRun* remote() noexcept { return nullptr; }

  // From any thread, while run() is under way: it should end early with kInterrupted. Sticky until rearm().
  virtual void interrupt() noexcept = 0;
  virtual void rearm() noexcept = 0;

  // After a run that was kDone. output() is for those whose shape was unknown.
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

  // Before the first bind(): the last output that was described is none that callers see, but int64[N] or int64[N,1] that says which rows are refused.
  virtual void expect_refusals() {}

  // `is_lazy`: nothing but its runs waits for another process.
  virtual std::unique_ptr<Binding> bind(bool is_lazy) const = 0;
  virtual std::string version() const = 0;  // "onnxruntime 1.32.0"

  // The id of what runs now, where the engine alone knows it: a server that is restarted may bring another model. Else "".
  virtual std::string model_id() const { return {}; }
};

}  // namespace sidecall
