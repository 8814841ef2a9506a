// Sessions and kept I/O bindings of ONNX Runtime; used by model.cpp.
#include "ort_engine.h"

#define ORT_API_MANUAL_INIT
#include <onnxruntime_c_api.h>
#include <onnxruntime_session_options_config_keys.h>

#include <atomic>
#include <cstring>

#include "buffer.h"
#include "error.h"
#include "ort_library.h"
#include "text.h"

namespace sidecall {
namespace {

void check(const OrtApi* api, OrtStatus* status, const std::string& what) {
  if (status == nullptr) return;
  const std::string text = one_line(api->GetErrorMessage(status));
  api->ReleaseStatus(status);
  // ONNX Runtime has no status for a failed allocation, only these words of kernels and allocators.
  const bool is_memory = text.find("std::bad_alloc") != std::string::npos || text.find("Failed to allocate memory") != std::string::npos;
  throw Error(is_memory ? SIDECALL_OUT_OF_MEMORY : SIDECALL_ENGINE, what + "onnxruntime: " + text);
}

// Owns one object of ONNX Runtime; every type has its own release function.
template <typename T>
using Owned = std::unique_ptr<T, void (*)(T*)>;

template <typename T>
Owned<T> own(T* object, void (*release)(T*)) {
  return Owned<T>(object, release);
}

class OrtEngine final : public Engine {
 public:
  OrtEngine(const OnnxFile& file, const std::string& label, const OrtLibrary& library);
  void describe(std::vector<TensorSpec>* inputs, std::vector<TensorSpec>* outputs) const override;
  std::unique_ptr<Binding> bind(bool is_lazy) const override;
  std::string version() const override { return "onnxruntime " + library_.version; }

  const OrtApi* api() const { return library_.api; }
  OrtSession* session() const { return session_.get(); }
  const OrtMemoryInfo* memory() const { return memory_.get(); }
  const TensorSpec& input(int32_t i) const { return inputs_[static_cast<size_t>(i)]; }
  const TensorSpec& output(int32_t i) const { return outputs_[static_cast<size_t>(i)]; }
  size_t num_inputs() const { return inputs_.size(); }
  size_t num_outputs() const { return outputs_.size(); }

 private:
  OrtSession* create_session(const OnnxFile& file, const std::string& what);
  Owned<OrtSessionOptions> make_options(const OnnxFile& file) const;
  TensorSpec read_spec(bool is_input, size_t index, const std::string& label) const;

  const OrtLibrary& library_;
  Owned<OrtSession> session_;
  Owned<OrtMemoryInfo> memory_;
  std::vector<TensorSpec> inputs_;
  std::vector<TensorSpec> outputs_;
};

class OrtBinding final : public Binding {
 public:
  explicit OrtBinding(const OrtEngine& engine);
  void allocate_input(int32_t input, const Dims& dims) override;
  void* input_data(int32_t input) override { return inputs_[static_cast<size_t>(input)].buffer.data(); }
  void set_string(int32_t input, int64_t element, std::string_view value) override;
  void borrow_input(int32_t input, const void* data, const Dims& dims) override;
  void* shape_output(int32_t output, const Dims* dims, void* data) override;
  Outcome run(int64_t timeout_ns) override;
  void interrupt() noexcept override;
  void rearm() noexcept override;
  OutputTensor output(int32_t output) override;
  void read_strings(int32_t output, std::string* bytes, std::vector<int64_t>* offsets) override;

 private:
  struct Slot {
    Buffer buffer;
    Owned<OrtValue> value = own<OrtValue>(nullptr, nullptr);
    bool is_known = true;            // outputs: the shape is known before the run
    std::vector<const char*> empty;  // string outputs of known shape: one "" for each element
  };

  Owned<OrtValue> wrap(void* data, int32_t dtype, const Dims& dims) const;
  Owned<OrtValue> make_strings(const Dims& dims) const;
  void unbind_unknown();
  void clear_strings();
  void fetch_outputs();
  static Slot& at(std::vector<Slot>& slots, int32_t index) { return slots[static_cast<size_t>(index)]; }
  void check(OrtStatus* status) const { sidecall::check(api_, status, ""); }

  const OrtEngine& engine_;
  const OrtApi* api_;
  Owned<OrtIoBinding> binding_;
  Owned<OrtRunOptions> options_;
  std::vector<Slot> inputs_;
  std::vector<Slot> outputs_;
  size_t num_unknown_ = 0;
  std::atomic<bool> interrupted_{false};  // set by interrupt(), read by run() of another thread
};

OrtEngine::OrtEngine(const OnnxFile& file, const std::string& label, const OrtLibrary& library)
    : library_(library), session_(nullptr, library.api->ReleaseSession), memory_(nullptr, library.api->ReleaseMemoryInfo) {
  const std::string what = "file '" + label + "': ";
  OrtMemoryInfo* memory = nullptr;
  check(api(), api()->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &memory), what);
  memory_.reset(memory);
  OrtSession* session = create_session(file, what);
  size_t num_inputs = 0, num_outputs = 0;
  check(api(), api()->SessionGetInputCount(session, &num_inputs), what);
  check(api(), api()->SessionGetOutputCount(session, &num_outputs), what);
  for (size_t i = 0; i < num_inputs; ++i) inputs_.push_back(read_spec(true, i, label));
  for (size_t i = 0; i < num_outputs; ++i) {
    outputs_.push_back(read_spec(false, i, label));
    // ONNX Runtime tells no shape, which it may have inferred, as that of a scalar.
    TensorSpec& spec = outputs_.back();
    spec.is_shaped = !spec.dims.empty() || file.has_output_shape(spec.name);
  }
}

OrtSession* OrtEngine::create_session(const OnnxFile& file, const std::string& what) {
  const Owned<OrtSessionOptions> options = make_options(file);
  const EngineInput input = file.engine_input();  // what was written for the engine goes once it has read it
  std::vector<Owned<OrtValue>> values;
  for (const MemoryInitializer& initializer : input.initializers) {
    OrtValue* value = nullptr;
    const std::string_view data = initializer.data;
    // ONNX Runtime's C API takes the memory as void*; it never writes to an initializer. The OnnxFile keeps it as long as its model.
    check(api(),
          api()->CreateTensorWithDataAsOrtValue(memory(), const_cast<char*>(data.data()), data.size(), initializer.dims.data(),
                                                initializer.dims.size(), static_cast<ONNXTensorElementDataType>(initializer.dtype), &value),
          what);
    values.push_back(own(value, api()->ReleaseValue));
    const char* const name = initializer.name.c_str();
    check(api(), api()->AddExternalInitializers(options.get(), &name, &value, 1), what);
  }
  OrtSession* session = nullptr;
  check(api(), api()->CreateSessionFromArray(library_.env, input.model().data(), input.model().size(), options.get(), &session), what);
  session_.reset(session);
  return session;
}

Owned<OrtSessionOptions> OrtEngine::make_options(const OnnxFile& file) const {
  OrtSessionOptions* made = nullptr;
  check(api(), api()->CreateSessionOptions(&made), "");
  auto options = own(made, api()->ReleaseSessionOptions);
  const auto set = [&](const char* key, const char* value) { check(api(), api()->AddSessionConfigEntry(made, key, value), ""); };
  check(api(), api()->SetIntraOpNumThreads(made, 1), "");
  check(api(), api()->SetInterOpNumThreads(made, 1), "");
  check(api(), api()->SetSessionExecutionMode(made, ORT_SEQUENTIAL), "");
  check(api(), api()->SetSessionLogSeverityLevel(made, ORT_LOGGING_LEVEL_FATAL), "");
  // The arena costs 0.12 us a run on small models and keeps its peak for ever; malloc does neither.
  check(api(), api()->DisableCpuMemArena(made), "");
  // One node, as of a bare tree ensemble, leaves nothing to optimise; looking for it is a third of the time to open.
  if (file.num_nodes() == 1) check(api(), api()->SetSessionGraphOptimizationLevel(made, ORT_DISABLE_ALL), "");
  set(kOrtSessionOptionsConfigLoadModelFormat, "ONNX");
  return options;
}

TensorSpec OrtEngine::read_spec(bool is_input, size_t index, const std::string& label) const {
  OrtAllocator* allocator = nullptr;
  check(api(), api()->GetAllocatorWithDefaultOptions(&allocator), "");
  char* name = nullptr;
  check(api(),
        is_input ? api()->SessionGetInputName(session(), index, allocator, &name)
                 : api()->SessionGetOutputName(session(), index, allocator, &name),
        "");
  TensorSpec spec;
  spec.name = name;
  check(api(), api()->AllocatorFree(allocator, name), "");
  if (!is_utf8(spec.name)) throw Error(SIDECALL_FILE_INVALID, "file '" + label + "': expected names in UTF-8, got other bytes");

  OrtTypeInfo* type = nullptr;
  check(api(),
        is_input ? api()->SessionGetInputTypeInfo(session(), index, &type) : api()->SessionGetOutputTypeInfo(session(), index, &type), "");
  const auto type_owner = own(type, api()->ReleaseTypeInfo);
  ONNXType kind = ONNX_TYPE_UNKNOWN;
  check(api(), api()->GetOnnxTypeFromTypeInfo(type, &kind), "");
  const auto refuse = [&](const std::string& got) {
    const Fault fault{SIDECALL_UNSUPPORTED, -1, spec.name, "a tensor", got};
    const std::string where = std::string(is_input ? "input" : "output") + " '" + spec.name + "' of file '" + label + "'";
    throw Error(fault,
                where + ": expected a tensor, got " + got + "; export it again with tensors only (skl2onnx: options={'zipmap': False})");
  };
  if (kind != ONNX_TYPE_TENSOR) {
    refuse(kind == ONNX_TYPE_SEQUENCE   ? "a sequence"
           : kind == ONNX_TYPE_MAP      ? "a map"
           : kind == ONNX_TYPE_OPTIONAL ? "an optional"
                                        : "another type");
  }
  const OrtTensorTypeAndShapeInfo* tensor = nullptr;
  check(api(), api()->CastTypeInfoToTensorInfo(type, &tensor), "");
  ONNXTensorElementDataType dtype = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  check(api(), api()->GetTensorElementType(tensor, &dtype), "");
  spec.dtype = static_cast<int32_t>(dtype);
  if (!dtype_is_supported(spec.dtype)) refuse("a tensor of element type " + std::to_string(spec.dtype));
  size_t rank = 0;
  check(api(), api()->GetDimensionsCount(tensor, &rank), "");
  spec.dims.resize(rank);
  std::vector<const char*> names(rank);
  if (rank > 0) {
    check(api(), api()->GetDimensions(tensor, spec.dims.data(), rank), "");
    check(api(), api()->GetSymbolicDimensions(tensor, names.data(), rank), "");
  }
  for (size_t i = 0; i < rank; ++i) {
    spec.dim_names.emplace_back(names[i] != nullptr ? names[i] : "");
    if (!is_utf8(spec.dim_names.back())) spec.dim_names.back().clear();
    if (spec.dims[i] < 0) spec.dims[i] = -1;
  }
  return spec;
}

void OrtEngine::describe(std::vector<TensorSpec>* inputs, std::vector<TensorSpec>* outputs) const {
  *inputs = inputs_;
  *outputs = outputs_;
}

std::unique_ptr<Binding> OrtEngine::bind(bool) const { return std::make_unique<OrtBinding>(*this); }

OrtBinding::OrtBinding(const OrtEngine& engine)
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

Owned<OrtValue> OrtBinding::wrap(void* data, int32_t dtype, const Dims& dims) const {
  OrtValue* value = nullptr;
  const size_t bytes = count_bytes(dtype, dims);
  check(api_->CreateTensorWithDataAsOrtValue(engine_.memory(), data, bytes, dims.data(), dims.size(),
                                             static_cast<ONNXTensorElementDataType>(dtype), &value));
  return own(value, api_->ReleaseValue);
}

Owned<OrtValue> OrtBinding::make_strings(const Dims& dims) const {
  OrtAllocator* allocator = nullptr;
  check(api_->GetAllocatorWithDefaultOptions(&allocator));
  OrtValue* value = nullptr;
  check(api_->CreateTensorAsOrtValue(allocator, dims.data(), dims.size(), ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING, &value));
  return own(value, api_->ReleaseValue);
}

void OrtBinding::allocate_input(int32_t input, const Dims& dims) {
  Slot& slot = at(inputs_, input);
  const TensorSpec& spec = engine_.input(input);
  if (spec.dtype == SIDECALL_STRING) {
    slot.value = make_strings(dims);
  } else {
    slot.buffer.reserve(count_bytes(spec.dtype, dims));
    slot.value = wrap(slot.buffer.data(), spec.dtype, dims);
  }
  check(api_->BindInput(binding_.get(), spec.name.c_str(), slot.value.get()));
}

void OrtBinding::set_string(int32_t input, int64_t element, std::string_view value) {
  char* buffer = nullptr;
  check(api_->GetResizedStringTensorElementBuffer(at(inputs_, input).value.get(), static_cast<size_t>(element), value.size(), &buffer));
  if (!value.empty()) std::memcpy(buffer, value.data(), value.size());
}

void OrtBinding::borrow_input(int32_t input, const void* data, const Dims& dims) {
  Slot& slot = at(inputs_, input);
  const TensorSpec& spec = engine_.input(input);
  // ONNX Runtime's C API takes inputs as void*; kernels never write to a bound input.
  slot.value = wrap(const_cast<void*>(data), spec.dtype, dims);
  check(api_->BindInput(binding_.get(), spec.name.c_str(), slot.value.get()));
}

void* OrtBinding::shape_output(int32_t output, const Dims* dims, void* data) {
  Slot& slot = at(outputs_, output);
  const TensorSpec& spec = engine_.output(output);
  num_unknown_ -= slot.is_known ? 0 : 1;
  slot.is_known = dims != nullptr;
  if (!slot.is_known) {
    ++num_unknown_;
    slot.value.reset();
    check(api_->BindOutputToDevice(binding_.get(), spec.name.c_str(), engine_.memory()));
    return nullptr;
  }
  void* memory = data;
  if (spec.dtype == SIDECALL_STRING) {
    slot.value = make_strings(*dims);
    slot.empty.assign(static_cast<size_t>(count_elements(*dims)), "");
  } else {
    if (data == nullptr) slot.buffer.reserve(count_bytes(spec.dtype, *dims)), memory = slot.buffer.data();
    slot.value = wrap(memory, spec.dtype, *dims);
  }
  check(api_->BindOutput(binding_.get(), spec.name.c_str(), slot.value.get()));
  return memory;
}

Outcome OrtBinding::run(int64_t /*timeout_ns*/) {
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

// A binding keeps the value of its last run and would write the next one into it, whatever its shape.
void OrtBinding::unbind_unknown() {
  for (size_t i = 0; i < outputs_.size(); ++i) {
    if (outputs_[i].is_known) continue;
    check(api_->BindOutputToDevice(binding_.get(), engine_.output(static_cast<int32_t>(i)).name.c_str(), engine_.memory()));
  }
}

// Kernels may append to the strings that they find, as StringConcat does: each run starts from empty ones.
void OrtBinding::clear_strings() {
  for (const Slot& slot : outputs_) {
    if (slot.is_known && !slot.empty.empty()) check(api_->FillStringTensor(slot.value.get(), slot.empty.data(), slot.empty.size()));
  }
}

// Takes the values that the engine made for outputs of unknown shape.
void OrtBinding::fetch_outputs() {
  OrtAllocator* allocator = nullptr;
  check(api_->GetAllocatorWithDefaultOptions(&allocator));
  OrtValue** values = nullptr;
  size_t count = 0;
  check(api_->GetBoundOutputValues(binding_.get(), allocator, &values, &count));
  for (size_t i = 0; i < count; ++i) {
    // Bound outputs come in the order in which they were first bound, which is that of the signature.
    auto value = own(values[i], api_->ReleaseValue);
    if (i < outputs_.size() && !outputs_[i].is_known) outputs_[i].value = std::move(value);
  }
  check(api_->AllocatorFree(allocator, values));
}

void OrtBinding::interrupt() noexcept {
  interrupted_.store(true, std::memory_order_release);
  if (OrtStatus* status = api_->RunOptionsSetTerminate(options_.get())) api_->ReleaseStatus(status);
}

void OrtBinding::rearm() noexcept {
  interrupted_.store(false, std::memory_order_relaxed);
  if (OrtStatus* status = api_->RunOptionsUnsetTerminate(options_.get())) api_->ReleaseStatus(status);
}

OutputTensor OrtBinding::output(int32_t output) {
  Slot& slot = at(outputs_, output);
  OrtTensorTypeAndShapeInfo* made = nullptr;
  check(api_->GetTensorTypeAndShape(slot.value.get(), &made));
  const auto info = own(made, api_->ReleaseTensorTypeAndShapeInfo);
  size_t rank = 0;
  check(api_->GetDimensionsCount(made, &rank));
  OutputTensor tensor;
  tensor.dims.resize(rank);
  if (rank > 0) check(api_->GetDimensions(made, tensor.dims.data(), rank));
  if (engine_.output(output).dtype != SIDECALL_STRING) check(api_->GetTensorMutableData(slot.value.get(), &tensor.data));
  return tensor;
}

void OrtBinding::read_strings(int32_t output, std::string* bytes, std::vector<int64_t>* offsets) {
  const OrtValue* value = at(outputs_, output).value.get();
  const auto count = static_cast<size_t>(count_elements(this->output(output).dims));
  size_t length = 0;
  check(api_->GetStringTensorDataLength(value, &length));
  bytes->resize(length);
  std::vector<size_t> starts(count);
  if (count > 0) check(api_->GetStringTensorContent(value, bytes->data(), length, starts.data(), count));
  offsets->resize(count + 1);
  for (size_t i = 0; i < count; ++i) (*offsets)[i] = static_cast<int64_t>(starts[i]);
  offsets->back() = static_cast<int64_t>(length);
}

}  // namespace

std::unique_ptr<Engine> open_ort_engine(const OnnxFile& file, const std::string& label, const char* library, const char* package) {
  return std::make_unique<OrtEngine>(file, label, load_ort_library(library, package));
}

}  // namespace sidecall
