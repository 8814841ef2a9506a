// Fuzzes the native engine with model files: whatever the graph says, opening and running it end
// with answers or with a typed error.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <sidecall/sidecall.h>

#include "check.h"
#include "core/error.h"
#include "core/onnx_file.h"
#include "engines/native/engine.h"

namespace {

constexpr int64_t kMaxInputElements = 4096;
constexpr int64_t kRows = 3;

// Numbers with which comparisons and indices go wrong first.
constexpr double kNumbers[] = {0, 1, -1, 0.5, 2, 1e300, -1e300, 1e-310, 3, -7};
constexpr const char* kTexts[] = {"", "a", "b", "x", "\xef\xb7\x90"};

sidecall::Dims dims_of(const sidecall::TensorSpec& spec, int64_t rows) {
  sidecall::Dims dims = spec.dims;
  for (int64_t& dim : dims) dim = dim < 0 ? rows : dim;
  return dims;
}

template <typename T>
void fill(void* data, int64_t count, double scale) {
  T* numbers = static_cast<T*>(data);
  for (int64_t i = 0; i < count; ++i)
    numbers[i] = static_cast<T>(kNumbers[static_cast<size_t>(i) % std::size(kNumbers)] * scale);
}

void give(sidecall::Binding* binding, int32_t input, const sidecall::TensorSpec& spec,
          int64_t rows) {
  const sidecall::Dims dims = dims_of(spec, rows);
  const int64_t count = sidecall::count_elements(dims);
  if (count > kMaxInputElements)
    throw sidecall::Error(SIDECALL_OUT_OF_MEMORY, "more elements than this test gives");
  binding->allocate_input(input, dims);
  void* data = binding->input_data(input);
  switch (spec.dtype) {
    case SIDECALL_DTYPE_FLOAT32:
      return fill<float>(data, count, 1e-270);
    case SIDECALL_DTYPE_FLOAT64:
      return fill<double>(data, count, 1);
    case SIDECALL_DTYPE_INT32:
      return fill<int32_t>(data, count, 1e-299);
    case SIDECALL_DTYPE_INT64:
      return fill<int64_t>(data, count, 1e-290);
    case SIDECALL_DTYPE_BOOL:
      for (int64_t i = 0; i < count; ++i) static_cast<uint8_t*>(data)[i] = i % 2 == 0;
      return;
    default:
      for (int64_t i = 0; i < count; ++i)
        binding->set_string(input, i, kTexts[static_cast<size_t>(i) % std::size(kTexts)]);
  }
}

void run(const sidecall::Engine& engine, int64_t rows) {
  std::vector<sidecall::TensorSpec> inputs, outputs;
  engine.describe(&inputs, &outputs);
  const std::unique_ptr<sidecall::Binding> binding = engine.bind(false);
  for (size_t i = 0; i < inputs.size(); ++i)
    give(binding.get(), static_cast<int32_t>(i), inputs[i], rows);
  for (size_t i = 0; i < outputs.size(); ++i)
    binding->shape_output(static_cast<int32_t>(i), nullptr, nullptr);
  binding->claim(true);
  binding->run(-1);
  for (size_t i = 0; i < outputs.size(); ++i) {
    const auto output = static_cast<int32_t>(i);
    const sidecall::OutputTensor tensor = binding->output(output);
    if (outputs[i].dtype == SIDECALL_DTYPE_STRING) {
      std::string bytes;
      std::vector<int64_t> offsets;
      binding->read_strings(output, &bytes, &offsets);
      continue;
    }
    // Reads every byte of the answer.
    const uint64_t size = sidecall::count_bytes(outputs[i].dtype, tensor.dims);
    const std::string copy(static_cast<const char*>(tensor.data), size);
    fuzz::require(copy.size() == size, "an answer of its own size");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  fuzz::run([&] {
    const sidecall::OnnxFile file(bytes, "", "fuzz");
    sidecall_model_options options{};
    const auto engine = sidecall::open_native_engine(file, "fuzz", options);
    run(*engine, 1);
    run(*engine, kRows);
  });
  return 0;
}
