// Creates sessions of ONNX Runtime and reads their tensors; see engine.h. Calls are bound to a
// session in context.cpp.
#include "engine.h"

#include <onnxruntime_session_options_config_keys.h>

#include "base/text/utf8.h"
#include "core/artifact/in_place_safety.h"
#include "core/error.h"
#include "core/text.h"
#include "fork_guard.h"
#include "session.h"

namespace sidecall {

void check_ort(const OrtApi* api, OrtStatus* status, const std::string& what) {
  if (status == nullptr) return;
  const std::string text = one_line(api->GetErrorMessage(status));
  api->ReleaseStatus(status);
  // ONNX Runtime has no status code for a failed allocation. Such a failure can only be recognised
  // by these messages of kernels and allocators.
  const bool is_memory = text.find("std::bad_alloc") != std::string::npos ||
                         text.find("Failed to allocate memory") != std::string::npos;
  throw Error(is_memory ? SIDECALL_OUT_OF_MEMORY : SIDECALL_ENGINE, what + "onnxruntime: " + text);
}

OrtEngine::OrtEngine(const OnnxFile& file, const std::string& label, const OrtLibrary& library)
    : library_(library),
      session_(nullptr, library.api->ReleaseSession),
      memory_(nullptr, library.api->ReleaseMemoryInfo) {
  const std::string what = "file '" + label + "': ";
  OrtMemoryInfo* memory = nullptr;
  check_ort(api(), api()->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &memory),
            what);
  memory_.reset(memory);
  OrtSession* session = create_session(file, what);
  size_t num_inputs = 0, num_outputs = 0;
  check_ort(api(), api()->SessionGetInputCount(session, &num_inputs), what);
  check_ort(api(), api()->SessionGetOutputCount(session, &num_outputs), what);
  for (size_t i = 0; i < num_inputs; ++i) inputs_.push_back(read_spec(true, i, label));
  for (size_t i = 0; i < num_outputs; ++i) {
    outputs_.push_back(read_spec(false, i, label));
    // For an output without a shape ONNX Runtime reports rank 0, as for a scalar, so ask the file.
    // If the rank is above 0, the shape is known, even if the file does not declare it: ONNX
    // Runtime has then inferred it.
    TensorSpec& spec = outputs_.back();
    spec.is_shaped = !spec.dims.empty() || file.has_output_shape(spec.name);
  }
}

OrtSession* OrtEngine::create_session(const OnnxFile& file, const std::string& what) {
  const Owned<OrtSessionOptions> options = make_options(file);
  // `input` is freed when this function returns. By then ONNX Runtime has parsed the model in it.
  const EngineInput input = file.engine_input();
  std::vector<Owned<OrtValue>> values;
  for (const MemoryInitializer& initializer : input.initializers) {
    OrtValue* value = nullptr;
    const std::string_view data = initializer.data;
    // ONNX Runtime's C API takes the memory as void*, but it never writes to an initializer. The
    // OnnxFile owns the memory and lives as long as the model.
    check_ort(api(),
              api()->CreateTensorWithDataAsOrtValue(
                  memory(), const_cast<char*>(data.data()), data.size(), initializer.dims.data(),
                  initializer.dims.size(),
                  static_cast<ONNXTensorElementDataType>(initializer.dtype), &value),
              what);
    values.push_back(own(value, api()->ReleaseValue));
    const char* const name = initializer.name.c_str();
    check_ort(api(), api()->AddExternalInitializers(options.get(), &name, &value, 1), what);
  }
  OrtSession* session = nullptr;
  check_ort(api(),
            api()->CreateSessionFromArray(library_.env, input.model().data(), input.model().size(),
                                          options.get(), &session),
            what);
  session_.reset(session);
  return session;
}

Owned<OrtSessionOptions> OrtEngine::make_options(const OnnxFile& file) const {
  OrtSessionOptions* made = nullptr;
  check_ort(api(), api()->CreateSessionOptions(&made), "");
  auto options = own(made, api()->ReleaseSessionOptions);
  const auto set = [&](const char* key, const char* value) {
    check_ort(api(), api()->AddSessionConfigEntry(made, key, value), "");
  };
  check_ort(api(), api()->SetIntraOpNumThreads(made, 1), "");
  check_ort(api(), api()->SetInterOpNumThreads(made, 1), "");
  check_ort(api(), api()->SetSessionExecutionMode(made, ORT_SEQUENTIAL), "");
  check_ort(api(), api()->SetSessionLogSeverityLevel(made, ORT_LOGGING_LEVEL_FATAL), "");
  // Use malloc instead of the arena: on small models the arena costs 0.12 us per run, and it never
  // returns memory once it has grown.
  check_ort(api(), api()->DisableCpuMemArena(made), "");
  // A graph of one node, or of tree ensembles only, has nothing to optimise, and the optimiser
  // would take a third of the time to open. Such a graph has few intermediate tensors. Allocating
  // them one by one is faster than a memory pattern, which is looked up by shape: without the
  // pattern a run takes 0.1 us less, out of 4.1 us.
  if (file.num_nodes() == 1 || file.has_only_tree_nodes()) {
    check_ort(api(), api()->SetSessionGraphOptimizationLevel(made, ORT_DISABLE_ALL), "");
    check_ort(api(), api()->DisableMemPattern(made), "");
  }
  set(kOrtSessionOptionsConfigLoadModelFormat, "ONNX");
  return options;
}

TensorSpec OrtEngine::read_spec(bool is_input, size_t index, const std::string& label) const {
  OrtAllocator* allocator = nullptr;
  check_ort(api(), api()->GetAllocatorWithDefaultOptions(&allocator), "");
  char* name = nullptr;
  check_ort(api(),
            is_input ? api()->SessionGetInputName(session(), index, allocator, &name)
                     : api()->SessionGetOutputName(session(), index, allocator, &name),
            "");
  TensorSpec spec;
  spec.name = name;
  check_ort(api(), api()->AllocatorFree(allocator, name), "");
  if (!is_utf8(spec.name))
    throw Error(SIDECALL_FILE_INVALID,
                "file '" + label + "': the name of an input or output is not UTF-8");

  OrtTypeInfo* type = nullptr;
  check_ort(api(),
            is_input ? api()->SessionGetInputTypeInfo(session(), index, &type)
                     : api()->SessionGetOutputTypeInfo(session(), index, &type),
            "");
  const auto type_owner = own(type, api()->ReleaseTypeInfo);
  ONNXType kind = ONNX_TYPE_UNKNOWN;
  check_ort(api(), api()->GetOnnxTypeFromTypeInfo(type, &kind), "");
  const auto refuse = [&](const std::string& got) {
    const Fault fault{SIDECALL_UNSUPPORTED, -1, spec.name, "a tensor", got};
    const std::string where =
        std::string(is_input ? "input" : "output") + " '" + spec.name + "' of file '" + label + "'";
    throw Error(fault,
                where + ": expected a tensor, got " + got +
                    "; export it again with tensors only (skl2onnx: options={'zipmap': False})");
  };
  if (kind != ONNX_TYPE_TENSOR) {
    refuse(kind == ONNX_TYPE_SEQUENCE   ? "a sequence"
           : kind == ONNX_TYPE_MAP      ? "a map"
           : kind == ONNX_TYPE_OPTIONAL ? "an optional"
                                        : "another type");
  }
  const OrtTensorTypeAndShapeInfo* tensor = nullptr;
  check_ort(api(), api()->CastTypeInfoToTensorInfo(type, &tensor), "");
  ONNXTensorElementDataType dtype = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  check_ort(api(), api()->GetTensorElementType(tensor, &dtype), "");
  spec.dtype = static_cast<int32_t>(dtype);
  if (!is_dtype(spec.dtype)) refuse("a tensor of element type " + std::to_string(spec.dtype));
  size_t rank = 0;
  check_ort(api(), api()->GetDimensionsCount(tensor, &rank), "");
  spec.dims.resize(rank);
  std::vector<const char*> names(rank);
  if (rank > 0) {
    check_ort(api(), api()->GetDimensions(tensor, spec.dims.data(), rank), "");
    check_ort(api(), api()->GetSymbolicDimensions(tensor, names.data(), rank), "");
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

void OrtEngine::expect_refusals() {
  refusals_ = std::move(outputs_.back());
  outputs_.pop_back();
}

std::vector<bool> OrtEngine::readable_in_place(const OnnxFile& file) const {
  return sidecall::readable_in_place(file, inputs_);
}

std::unique_ptr<ExecutionContext> OrtEngine::make_context(bool) const {
  return make_ort_context(*this);
}

std::unique_ptr<Engine> open_ort_engine(const OnnxFile& file, const std::string& label,
                                        const sidecall_model_options& options) {
  const ForkGuard guard;
  return std::make_unique<OrtEngine>(
      file, label, load_ort_library(options.onnxruntime, options.onnxruntime_package));
}

}  // namespace sidecall
