// Sessions of ONNX Runtime, whose library is opened at run time.
#include "onnx_model.h"

#include <dlfcn.h>
#define ORT_API_MANUAL_INIT
#include <onnxruntime_c_api.h>

#include <cstdlib>
#include <numeric>
#include <stdexcept>

namespace {

const OrtApi* api = nullptr;
OrtEnv* env = nullptr;

void check(OrtStatus* status) {
  if (status == nullptr) return;
  const std::string said = api->GetErrorMessage(status);
  api->ReleaseStatus(status);
  throw std::runtime_error("onnxruntime: " + said);
}

std::string name_of(OrtSession* session, size_t index, bool is_input) {
  OrtAllocator* allocator = nullptr;
  char* name = nullptr;
  check(api->GetAllocatorWithDefaultOptions(&allocator));
  check(is_input ? api->SessionGetInputName(session, index, allocator, &name)
                 : api->SessionGetOutputName(session, index, allocator, &name));
  std::string kept = name;
  check(api->AllocatorFree(allocator, name));
  return kept;
}

// The values of one call; they are always released.
class Values {
 public:
  explicit Values(size_t count) : all_(count) {}
  ~Values() {
    for (OrtValue* value : all_) {
      if (value != nullptr) api->ReleaseValue(value);
    }
  }
  Values(const Values&) = delete;
  Values& operator=(const Values&) = delete;
  OrtValue*& operator[](size_t i) { return all_[i]; }
  OrtValue** data() { return all_.data(); }

 private:
  std::vector<OrtValue*> all_;
};

int64_t product(const std::vector<int64_t>& dims) {
  return std::accumulate(dims.begin(), dims.end(), int64_t{1}, std::multiplies<>());
}

// Resizes a repeated field to `count` values and returns its memory, to which the engine writes.
template <class Field>
auto* space(Field* field, int64_t count) {
  field->Resize(static_cast<int>(count), 0);
  return field->mutable_data();
}

}  // namespace

void load_onnxruntime() {
  if (api != nullptr) return;
  const char* path = std::getenv("SIDECALL_ONNXRUNTIME");
  void* library = path == nullptr ? nullptr : dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    throw std::runtime_error("SIDECALL_ONNXRUNTIME: expected the path of a library");
  const auto get_base = reinterpret_cast<const OrtApiBase* (*)()>(dlsym(library, "OrtGetApiBase"));
  api = get_base == nullptr ? nullptr : get_base()->GetApi(21);
  if (api == nullptr) throw std::runtime_error("onnxruntime: expected API 21");
  setenv("ORT_DISABLE_TELEMETRY", "1", 1);
  check(api->CreateEnv(ORT_LOGGING_LEVEL_FATAL, "bench", &env));
}

OnnxModel::OnnxModel(const std::string& path) {
  OrtSessionOptions* options = nullptr;
  check(api->CreateSessionOptions(&options));
  check(api->SetIntraOpNumThreads(options, 1));
  check(api->SetInterOpNumThreads(options, 1));
  check(api->CreateSession(env, path.c_str(), options, &session_));
  api->ReleaseSessionOptions(options);
  check(api->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &memory_));
  input_ = name_of(session_, 0, true);
  size_t count = 0;
  check(api->SessionGetOutputCount(session_, &count));
  for (size_t i = 0; i < count; ++i) {
    OrtTypeInfo* type = nullptr;
    const OrtTensorTypeAndShapeInfo* tensor = nullptr;
    ONNXTensorElementDataType element = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    size_t rank = 0;
    check(api->SessionGetOutputTypeInfo(session_, i, &type));
    check(api->CastTypeInfoToTensorInfo(type, &tensor));
    check(api->GetTensorElementType(tensor, &element));
    check(api->GetDimensionsCount(tensor, &rank));
    std::vector<int64_t> dims(rank);
    check(api->GetDimensions(tensor, dims.data(), rank));
    api->ReleaseTypeInfo(type);
    outputs_.push_back({name_of(session_, i, false), element, std::move(dims)});
  }
  for (const Output& output : outputs_) output_names_.push_back(output.name.c_str());
}

OnnxModel::~OnnxModel() {
  api->ReleaseMemoryInfo(memory_);
  api->ReleaseSession(session_);
}

void OnnxModel::predict(const prediction::PredictRequest& request,
                        prediction::PredictResponse& response) const {
  const std::vector<int64_t> shape(request.shape().begin(), request.shape().end());
  if (shape.empty() || product(shape) != request.values_size())
    throw std::runtime_error("values: expected as many as the shape says");
  Values input(1);
  // The engine only reads the values.
  auto* values = const_cast<float*>(request.values().data());
  check(api->CreateTensorWithDataAsOrtValue(
      memory_, values, static_cast<size_t>(request.values_size()) * sizeof(float), shape.data(),
      shape.size(), ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &input[0]));
  Values outputs(outputs_.size());
  for (size_t i = 0; i < outputs_.size(); ++i) {
    std::vector<int64_t> dims = outputs_[i].dims;
    dims[0] = shape[0];
    const int64_t count = product(dims);
    const auto type = static_cast<ONNXTensorElementDataType>(outputs_[i].type);
    void* data = nullptr;
    size_t bytes = static_cast<size_t>(count);
    if (type == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64) {
      data = space(response.mutable_label(), count);
      bytes *= sizeof(int64_t);
    } else if (type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT) {
      data = space(response.mutable_values(), count);
      bytes *= sizeof(float);
    } else {
      throw std::runtime_error("output '" + outputs_[i].name + "': expected float32 or int64");
    }
    check(api->CreateTensorWithDataAsOrtValue(memory_, data, bytes, dims.data(), dims.size(), type,
                                              &outputs[i]));
  }
  const char* const input_name = input_.c_str();
  const OrtValue* const given = input[0];
  check(api->Run(session_, nullptr, &input_name, &given, 1, output_names_.data(), outputs_.size(),
                 outputs.data()));
}
