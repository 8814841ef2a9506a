// An engine without ONNX Runtime, for tests and fuzzers of core. It stores inputs in memory of the
// exact size, so that AddressSanitizer detects an access beyond the end, and its answers are set by
// the test.
#pragma once

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/engine.h"
#include "engines/in_process/context.h"

namespace fake {

using sidecall::Dims;

struct Tensor {
  std::unique_ptr<char[]> memory;
  uint64_t capacity = 0;
  void* data = nullptr;
  Dims dims;
  std::vector<std::string> strings;
  bool is_known = true;

  // Like the real engine's, the memory grows and never shrinks.
  void* reserve(uint64_t bytes) {
    if (bytes > capacity || memory == nullptr) {
      memory = std::make_unique<char[]>(bytes);
      capacity = bytes;
    }
    return memory.get();
  }
};

class Engine;

class Context final : public sidecall::InProcessContext {
 public:
  explicit Context(const Engine& engine);
  void allocate_input(int32_t input, const Dims& dims) override;
  void* input_data(int32_t input) override { return inputs[static_cast<size_t>(input)].data; }
  void set_string(int32_t input, int64_t element, std::string_view value) override {
    inputs[static_cast<size_t>(input)].strings.at(static_cast<size_t>(element)) = value;
  }
  void borrow_input(int32_t input, const void* data, const Dims& dims) override {
    inputs[static_cast<size_t>(input)].data = const_cast<void*>(data);
    inputs[static_cast<size_t>(input)].dims = dims;
  }
  void* shape_output(int32_t output, const Dims* dims, void* data) override;
  const int64_t* shape_refusals(int64_t rows) override {
    refusals = std::vector<int64_t>(static_cast<size_t>(rows));
    return refusals.data();
  }
  sidecall::OutputTensor output(int32_t output) override {
    return {outputs[static_cast<size_t>(output)].dims, outputs[static_cast<size_t>(output)].data};
  }
  void read_strings(int32_t output, std::string* bytes, std::vector<int64_t>* offsets) override;

  std::vector<Tensor> inputs;
  std::vector<Tensor> outputs;
  std::vector<int64_t> refusals;  // on_run writes them

 protected:
  sidecall::Outcome execute(int64_t timeout_ns) override;
  void interrupt_engine() noexcept override;
  void rearm() noexcept override {}

 private:
  const Engine& engine_;
};

class Engine final : public sidecall::Engine {
 public:
  std::vector<sidecall::TensorSpec> inputs;
  std::vector<sidecall::TensorSpec> outputs;
  // The shape of each output after a run, used if the signature does not give the shape. Outputs
  // beyond the end of the list get the shape {1}.
  std::vector<Dims> answers;
  std::function<sidecall::Outcome(Context&)> on_run;
  std::function<void()> on_interrupt;  // may be called from any thread

  void describe(std::vector<sidecall::TensorSpec>* to_inputs,
                std::vector<sidecall::TensorSpec>* to_outputs) const override {
    *to_inputs = inputs;
    *to_outputs = outputs;
  }
  void expect_refusals() override { outputs.pop_back(); }
  std::unique_ptr<sidecall::ExecutionContext> make_context(bool) const override {
    return std::make_unique<Context>(*this);
  }
  std::string version() const override { return "fake 1"; }

  // Fills a signature with these tensors and nothing else.
  void sign(sidecall::Signature* signature) const {
    describe(&signature->inputs, &signature->outputs);
    signature->index_tensors();
  }
};

inline sidecall::TensorSpec tensor(std::string name, int32_t dtype, Dims dims) {
  std::vector<std::string> names(dims.size());
  return {std::move(name), dtype, std::move(dims), std::move(names)};
}

inline Context::Context(const Engine& engine)
    : inputs(engine.inputs.size()), outputs(engine.outputs.size()), engine_(engine) {}

inline void Context::allocate_input(int32_t input, const Dims& dims) {
  Tensor& tensor = inputs[static_cast<size_t>(input)];
  const int32_t dtype = engine_.inputs[static_cast<size_t>(input)].dtype;
  tensor.dims = dims;
  if (dtype == SIDECALL_DTYPE_STRING) {
    tensor.strings.assign(static_cast<size_t>(sidecall::count_elements(dims)), "");
  } else {
    tensor.data = tensor.reserve(sidecall::count_bytes(dtype, dims));
  }
}

inline void* Context::shape_output(int32_t output, const Dims* dims, void* data) {
  Tensor& tensor = outputs[static_cast<size_t>(output)];
  const int32_t dtype = engine_.outputs[static_cast<size_t>(output)].dtype;
  tensor.is_known = dims != nullptr;
  tensor.dims = dims != nullptr ? *dims : Dims();
  tensor.data = nullptr;
  if (dims == nullptr || dtype == SIDECALL_DTYPE_STRING) return nullptr;
  tensor.data = data != nullptr ? data : tensor.reserve(sidecall::count_bytes(dtype, *dims));
  return tensor.data;
}

inline sidecall::Outcome Context::execute(int64_t /*timeout_ns*/) {
  for (size_t i = 0; i < outputs.size(); ++i) {
    Tensor& tensor = outputs[i];
    const int32_t dtype = engine_.outputs[i].dtype;
    if (!tensor.is_known) tensor.dims = i < engine_.answers.size() ? engine_.answers[i] : Dims{1};
    if (dtype == SIDECALL_DTYPE_STRING) {
      tensor.strings.assign(static_cast<size_t>(sidecall::count_elements(tensor.dims)), "text");
      continue;
    }
    const uint64_t bytes = sidecall::count_bytes(dtype, tensor.dims);
    if (!tensor.is_known) tensor.data = tensor.reserve(bytes);
    if (bytes > 0) std::memset(tensor.data, 0, bytes);
  }
  return engine_.on_run ? engine_.on_run(*this) : sidecall::Outcome::kDone;
}

inline void Context::interrupt_engine() noexcept {
  if (engine_.on_interrupt) engine_.on_interrupt();
}

inline void Context::read_strings(int32_t output, std::string* bytes,
                                  std::vector<int64_t>* offsets) {
  bytes->clear();
  offsets->assign(1, 0);
  for (const std::string& text : outputs[static_cast<size_t>(output)].strings) {
    *bytes += text;
    offsets->push_back(static_cast<int64_t>(bytes->size()));
  }
}

}  // namespace fake
