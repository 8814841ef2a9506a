// What runs a model: the seam between calls and ONNX Runtime today, other engines and the channel tomorrow. The C ABI
// picks the route; everything above this file works alike on all of them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dtype.h"
#include "signature.h"

namespace sidecall {

// Why a run ended. ENGINE failures are thrown.
enum class Outcome { kDone, kInterrupted };

// A tensor after a run. `data` is nullptr for strings.
struct OutputTensor {
  Dims dims;
  void* data = nullptr;
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

  // Throws ENGINE, OUT_OF_MEMORY.
  virtual Outcome run() = 0;

  // From any thread, while run() is under way: it should end early with kInterrupted. Sticky until rearm().
  virtual void interrupt() noexcept = 0;
  virtual void rearm() noexcept = 0;

  // After a run that was kDone. output() is for those whose shape was unknown.
  virtual OutputTensor output(int32_t output) = 0;
  virtual void read_strings(int32_t output, std::string* bytes, std::vector<int64_t>* offsets) = 0;
};

// A loaded model; shared by all threads.
class Engine {
 public:
  virtual ~Engine() = default;
  virtual void describe(std::vector<TensorSpec>* inputs, std::vector<TensorSpec>* outputs) const = 0;
  virtual std::unique_ptr<Binding> bind() const = 0;
  virtual std::string version() const = 0;  // "onnxruntime 1.32.0"
};

}  // namespace sidecall
