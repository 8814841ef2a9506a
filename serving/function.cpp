// Implements core's ExecutionContext over a C function; see function.h.
#include "function.h"

#include <cstring>

#include "core/error.h"
#include "engines/in_process/context.h"
#include "request.h"
#include "shm/common/error.h"

namespace sidecall {
namespace {

class FunctionContext final : public InProcessContext {
 public:
  explicit FunctionContext(const FunctionEngine& engine) : request_(engine) {}

  void allocate_input(int32_t index, const Dims& dims) override {
    auto& input = request_.inputs[static_cast<size_t>(index)];
    const int32_t dtype = request_.engine.inputs()[static_cast<size_t>(index)].dtype;
    input.dims = dims;
    if (dtype == SIDECALL_DTYPE_STRING) {
      input.strings = std::vector<std::string>(static_cast<size_t>(count_elements(dims)));
      input.is_changed = true;
    } else {
      const uint64_t bytes = count_bytes(dtype, dims);
      input.buffer.reserve(bytes);
      input.data = std::memset(input.buffer.data(), 0, bytes);
    }
  }

  void* input_data(int32_t index) override {
    const bool is_text =
        request_.engine.inputs()[static_cast<size_t>(index)].dtype == SIDECALL_DTYPE_STRING;
    return is_text ? nullptr : request_.inputs[static_cast<size_t>(index)].buffer.data();
  }

  void set_string(int32_t index, int64_t element, std::string_view value) override {
    auto& input = request_.inputs[static_cast<size_t>(index)];
    input.strings[static_cast<size_t>(element)] = value;
    input.is_changed = true;
  }

  void borrow_input(int32_t index, const void* data, const Dims& dims) override {
    auto& input = request_.inputs[static_cast<size_t>(index)];
    input.data = data;
    input.dims = dims;
  }

  void* shape_output(int32_t index, const Dims* dims, void* data) override {
    auto& output = request_.outputs[static_cast<size_t>(index)];
    const int32_t dtype = request_.engine.outputs()[static_cast<size_t>(index)].dtype;
    output.is_known = dims != nullptr;
    output.bound = data;
    if (dims == nullptr) return nullptr;
    output.dims = *dims;
    if (dtype == SIDECALL_DTYPE_STRING) return nullptr;
    if (data != nullptr) return data;
    output.buffer.reserve(count_bytes(dtype, *dims));
    return output.buffer.data();
  }

  OutputTensor output(int32_t index) override {
    auto& output = request_.outputs[static_cast<size_t>(index)];
    const int32_t dtype = request_.engine.outputs()[static_cast<size_t>(index)].dtype;
    return {output.dims, dtype == SIDECALL_DTYPE_STRING ? nullptr
                         : output.bound != nullptr      ? output.bound
                                                        : output.buffer.data()};
  }

  void read_strings(int32_t index, std::string* bytes, std::vector<int64_t>* offsets) override {
    const sidecall_request::Text& text = request_.outputs[static_cast<size_t>(index)].text;
    *bytes = text.bytes;
    *offsets = text.offsets;
  }

 protected:
  Outcome execute(int64_t /*timeout_ns*/) override {
    for (auto& output : request_.outputs) output.is_given = false;
    request_.failure.reset();
    const sidecall_status status = request_.engine.call(&request_);
    if (status == SIDECALL_OK) return check_answer();
    if (request_.is_interrupted.load(std::memory_order_acquire)) return Outcome::kInterrupted;
    if (!shm::is_failure(status)) {
      throw Error(SIDECALL_INTERNAL, std::string("the served function failed with ") +
                                         status_name(status) +
                                         ": expected a status that describes a failed request");
    }
    if (!request_.failure || request_.failure->status() != status)
      throw Error(status, std::string("the served function failed with ") + status_name(status));
    throw Error(*request_.failure);
  }

  void interrupt_engine() noexcept override {
    request_.is_interrupted.store(true, std::memory_order_release);
  }
  void rearm() noexcept override {
    request_.is_interrupted.store(false, std::memory_order_relaxed);
  }

 private:
  Outcome check_answer() const {
    for (size_t i = 0; i < request_.outputs.size(); ++i) {
      if (request_.outputs[i].is_given) continue;
      const TensorSpec& spec = request_.engine.outputs()[i];
      throw Error("output", {SIDECALL_ENGINE, -1, spec.name,
                             describe_tensor(spec.dtype, spec.dims, &spec.dim_names), "nothing"});
    }
    return Outcome::kDone;
  }

  sidecall_request request_;
};

}  // namespace

void FunctionEngine::describe(std::vector<TensorSpec>* inputs,
                              std::vector<TensorSpec>* outputs) const {
  *inputs = tensors_.inputs;
  *outputs = tensors_.outputs;
}

std::unique_ptr<ExecutionContext> FunctionEngine::make_context(bool) const {
  return std::make_unique<FunctionContext>(*this);
}

}  // namespace sidecall
