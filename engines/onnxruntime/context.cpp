// Binds the tensors of one call to a session of ONNX Runtime; see session.h.
#include <atomic>
#include <cstring>

#include "core/buffer.h"
#include "engines/in_process/context.h"
#include "session.h"

namespace sidecall {
namespace {

class OrtContext final : public InProcessContext {
 public:
  explicit OrtContext(const OrtEngine& engine);
  void allocate_input(int32_t input, const Dims& dims) override;
  void* input_data(int32_t input) override {
    return inputs_[static_cast<size_t>(input)].buffer.data();
  }
  void set_string(int32_t input, int64_t element, std::string_view value) override;
  void borrow_input(int32_t input, const void* data, const Dims& dims) override;
  void* shape_output(int32_t output, const Dims* dims, void* data) override;
  const int64_t* shape_refusals(int64_t rows) override;
  OutputTensor output(int32_t output) override;
  void read_strings(int32_t output, std::string* bytes, std::vector<int64_t>* offsets) override;

 protected:
  Outcome execute(int64_t timeout_ns) override;
  void interrupt_engine() noexcept override;
  void rearm() noexcept override;

 private:
  struct Tensor {
    Buffer buffer;
    Owned<OrtValue> value = own<OrtValue>(nullptr, nullptr);
    bool is_known = true;            // outputs only: the shape is known before the run
    std::vector<const char*> empty;  // string outputs of known shape only: one "" for each element
    uint64_t text_bytes = 0;         // of all runs since its strings were made
  };

  Owned<OrtValue> wrap(void* data, int32_t dtype, const Dims& dims) const;
  Owned<OrtValue> make_strings(const Dims& dims) const;
  void unbind_unknown();
  void clear_strings();
  void remake_strings(int32_t output);
  void fetch_outputs();
  static Tensor& at(std::vector<Tensor>& slots, int32_t index) {
    return slots[static_cast<size_t>(index)];
  }
  void check(OrtStatus* status) const { check_ort(api_, status, ""); }

  const OrtEngine& engine_;
  const OrtApi* api_;
  Owned<OrtIoBinding> binding_;
  Owned<OrtRunOptions> options_;
  std::vector<Tensor> inputs_;
  std::vector<Tensor> outputs_;
  Tensor refusals_;
  size_t num_unknown_ = 0;
  std::atomic<bool> interrupted_{false};  // set by interrupt_engine(), read by execute()
};

OrtContext::OrtContext(const OrtEngine& engine)
    : engine_(engine),
      api_(engine.api()),
      binding_(nullptr, engine.api()->ReleaseIoBinding),
      options_(nullptr, engine.api()->ReleaseRunOptions),
      inputs_(engine.num_inputs()),
      outputs_(engine.num_outputs()) {
  OrtIoBinding* binding = nullptr;
  check(api_->CreateIoBinding(engine_.session(), &binding));
  binding_.reset(binding);
  OrtRunOptions* options = nullptr;
  check(api_->CreateRunOptions(&options));
  options_.reset(options);
  check(api_->RunOptionsSetRunLogSeverityLevel(options, ORT_LOGGING_LEVEL_FATAL));
}

Owned<OrtValue> OrtContext::wrap(void* data, int32_t dtype, const Dims& dims) const {
  OrtValue* value = nullptr;
  const size_t bytes = count_bytes(dtype, dims);
  check(
      api_->CreateTensorWithDataAsOrtValue(engine_.memory(), data, bytes, dims.data(), dims.size(),
                                           static_cast<ONNXTensorElementDataType>(dtype), &value));
  return own(value, api_->ReleaseValue);
}

Owned<OrtValue> OrtContext::make_strings(const Dims& dims) const {
  OrtAllocator* allocator = nullptr;
  check(api_->GetAllocatorWithDefaultOptions(&allocator));
  OrtValue* value = nullptr;
  check(api_->CreateTensorAsOrtValue(allocator, dims.data(), dims.size(),
                                     ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING, &value));
  return own(value, api_->ReleaseValue);
}

void OrtContext::allocate_input(int32_t input, const Dims& dims) {
  Tensor& tensor = at(inputs_, input);
  const TensorSpec& spec = engine_.input(input);
  if (spec.dtype == SIDECALL_DTYPE_STRING) {
    tensor.value = make_strings(dims);
  } else {
    tensor.buffer.reserve(count_bytes(spec.dtype, dims));
    tensor.value = wrap(tensor.buffer.data(), spec.dtype, dims);
  }
  check(api_->BindInput(binding_.get(), spec.name.c_str(), tensor.value.get()));
}

void OrtContext::set_string(int32_t input, int64_t element, std::string_view value) {
  char* buffer = nullptr;
  check(api_->GetResizedStringTensorElementBuffer(
      at(inputs_, input).value.get(), static_cast<size_t>(element), value.size(), &buffer));
  if (!value.empty()) std::memcpy(buffer, value.data(), value.size());
}

void OrtContext::borrow_input(int32_t input, const void* data, const Dims& dims) {
  Tensor& tensor = at(inputs_, input);
  const TensorSpec& spec = engine_.input(input);
  // ONNX Runtime's C API takes inputs as void*; kernels never write to a bound input.
  tensor.value = wrap(const_cast<void*>(data), spec.dtype, dims);
  check(api_->BindInput(binding_.get(), spec.name.c_str(), tensor.value.get()));
}

void* OrtContext::shape_output(int32_t output, const Dims* dims, void* data) {
  Tensor& tensor = at(outputs_, output);
  const TensorSpec& spec = engine_.output(output);
  num_unknown_ -= tensor.is_known ? 0 : 1;
  tensor.is_known = dims != nullptr;
  if (!tensor.is_known) {
    ++num_unknown_;
    tensor.value.reset();
    check(api_->BindOutputToDevice(binding_.get(), spec.name.c_str(), engine_.memory()));
    return nullptr;
  }
  void* memory = data;
  if (spec.dtype == SIDECALL_DTYPE_STRING) {
    tensor.value = make_strings(*dims);
    tensor.empty.assign(static_cast<size_t>(count_elements(*dims)), "");
  } else {
    if (data == nullptr)
      tensor.buffer.reserve(count_bytes(spec.dtype, *dims)), memory = tensor.buffer.data();
    tensor.value = wrap(memory, spec.dtype, *dims);
  }
  check(api_->BindOutput(binding_.get(), spec.name.c_str(), tensor.value.get()));
  return memory;
}

// The output that says which rows are refused is bound after all other outputs, so that these are
// bound in the order of the signature. fetch_outputs() relies on this order.
const int64_t* OrtContext::shape_refusals(int64_t rows) {
  const TensorSpec& spec = engine_.refusals();
  Dims dims(spec.dims.size(), 1);
  dims[0] = rows;
  refusals_.buffer.reserve(count_bytes(spec.dtype, dims));
  refusals_.value = wrap(refusals_.buffer.data(), spec.dtype, dims);
  check(api_->BindOutput(binding_.get(), spec.name.c_str(), refusals_.value.get()));
  return static_cast<const int64_t*>(refusals_.buffer.data());
}

Outcome OrtContext::execute(int64_t /*timeout_ns*/) {
  if (num_unknown_ > 0) unbind_unknown();
  clear_strings();
  OrtStatus* status = api_->RunWithBinding(engine_.session(), options_.get(), binding_.get());
  if (status != nullptr && interrupted_.load(std::memory_order_acquire)) {
    api_->ReleaseStatus(status);
    return Outcome::kInterrupted;
  }
  check(status);
  if (num_unknown_ > 0) fetch_outputs();
  return Outcome::kDone;
}

// Binds outputs of unknown shape anew before each run. An OrtIoBinding keeps the value of the last
// run and would write the next result into that value, even if the next result has another shape.
void OrtContext::unbind_unknown() {
  for (size_t i = 0; i < outputs_.size(); ++i) {
    if (outputs_[i].is_known) continue;
    check(api_->BindOutputToDevice(
        binding_.get(), engine_.output(static_cast<int32_t>(i)).name.c_str(), engine_.memory()));
  }
}

// Empties the string outputs of known shape before a run, because some kernels, such as
// StringConcat, append to the strings that they find there.
void OrtContext::clear_strings() {
  for (size_t i = 0; i < outputs_.size(); ++i) {
    Tensor& tensor = outputs_[i];
    if (!tensor.is_known || tensor.empty.empty()) continue;
    if (tensor.text_bytes > kMaxKeptText) {
      remake_strings(static_cast<int32_t>(i));
    } else {
      check(api_->FillStringTensor(tensor.value.get(), tensor.empty.data(), tensor.empty.size()));
    }
  }
}

// Emptying a string does not free its memory, so this replaces the tensor by a new one, which frees
// the memory that the strings of earlier runs used.
void OrtContext::remake_strings(int32_t output) {
  Tensor& tensor = at(outputs_, output);
  tensor.value = make_strings(this->output(output).dims);
  tensor.text_bytes = 0;
  check(api_->BindOutput(binding_.get(), engine_.output(output).name.c_str(), tensor.value.get()));
}

// Takes the values that ONNX Runtime allocated for outputs of unknown shape.
void OrtContext::fetch_outputs() {
  OrtAllocator* allocator = nullptr;
  check(api_->GetAllocatorWithDefaultOptions(&allocator));
  OrtValue** values = nullptr;
  size_t count = 0;
  check(api_->GetBoundOutputValues(binding_.get(), allocator, &values, &count));
  for (size_t i = 0; i < count; ++i) {
    // ONNX Runtime returns bound outputs in the order in which they were first bound: the order of
    // the signature, then the refusals.
    auto value = own(values[i], api_->ReleaseValue);
    if (i < outputs_.size() && !outputs_[i].is_known) outputs_[i].value = std::move(value);
  }
  check(api_->AllocatorFree(allocator, values));
}

void OrtContext::interrupt_engine() noexcept {
  interrupted_.store(true, std::memory_order_release);
  if (OrtStatus* status = api_->RunOptionsSetTerminate(options_.get())) api_->ReleaseStatus(status);
}

void OrtContext::rearm() noexcept {
  interrupted_.store(false, std::memory_order_relaxed);
  if (OrtStatus* status = api_->RunOptionsUnsetTerminate(options_.get()))
    api_->ReleaseStatus(status);
}

OutputTensor OrtContext::output(int32_t output) {
  Tensor& tensor = at(outputs_, output);
  OrtTensorTypeAndShapeInfo* made = nullptr;
  check(api_->GetTensorTypeAndShape(tensor.value.get(), &made));
  const auto info = own(made, api_->ReleaseTensorTypeAndShapeInfo);
  size_t rank = 0;
  check(api_->GetDimensionsCount(made, &rank));
  OutputTensor result;
  result.dims.resize(rank);
  if (rank > 0) check(api_->GetDimensions(made, result.dims.data(), rank));
  if (engine_.output(output).dtype != SIDECALL_DTYPE_STRING)
    check(api_->GetTensorMutableData(tensor.value.get(), &result.data));
  return result;
}

void OrtContext::read_strings(int32_t output, std::string* bytes, std::vector<int64_t>* offsets) {
  const OrtValue* value = at(outputs_, output).value.get();
  const auto count = static_cast<size_t>(count_elements(this->output(output).dims));
  size_t length = 0;
  check(api_->GetStringTensorDataLength(value, &length));
  bytes->resize(length);
  at(outputs_, output).text_bytes += length;
  std::vector<size_t> starts(count);
  if (count > 0)
    check(api_->GetStringTensorContent(value, bytes->data(), length, starts.data(), count));
  offsets->resize(count + 1);
  for (size_t i = 0; i < count; ++i) (*offsets)[i] = static_cast<int64_t>(starts[i]);
  offsets->back() = static_cast<int64_t>(length);
}

}  // namespace

std::unique_ptr<ExecutionContext> make_ort_context(const OrtEngine& engine) {
  return std::make_unique<OrtContext>(engine);
}

}  // namespace sidecall
