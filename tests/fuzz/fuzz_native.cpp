// Fuzzes the native engine with model files. Opening and running any file must end with answers or
// with a typed error.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include <sidecall/sidecall.h>

#include "check.h"
#include "core/error.h"
#include "core/onnx_file.h"
#include "engines/native/engine.h"

// A model may ask for any amount of memory. Here it gets little.
constexpr size_t kMaxBytes = size_t{1} << 28;

void* operator new(size_t bytes) {
  void* memory = bytes > kMaxBytes ? nullptr : std::malloc(bytes == 0 ? 1 : bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  return std::malloc(bytes == 0 ? 1 : bytes);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace {

constexpr int64_t kMaxInputElements = 4096;
constexpr int64_t kRows = 3;

// Numbers at the edges of what comparisons, casts and indices can handle.
constexpr double kNumbers[] = {0, 1, -1, 0.5, 2, 1e300, -1e300, 1e-310, 3, -7};
constexpr const char* kTexts[] = {"a b  A\xc3\x84 the b", "", "a", "b", "x", "\xef\xb7\x90"};

// The shape of an input with `rows` in place of each dynamic dimension.
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

void fill_input(sidecall::Binding* binding, int32_t input, const sidecall::TensorSpec& spec,
                int64_t rows) {
  const sidecall::Dims dims = dims_of(spec, rows);
  const int64_t count = sidecall::count_elements(dims);
  if (count > kMaxInputElements)
    throw sidecall::Error(SIDECALL_OUT_OF_MEMORY,
                          "expected at most 4096 elements of an input, got more");
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
    fill_input(binding.get(), static_cast<int32_t>(i), inputs[i], rows);
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
    // Copies the answer, so that a sanitizer checks the access to each byte.
    const uint64_t size = sidecall::count_bytes(outputs[i].dtype, tensor.dims);
    const std::string copy(static_cast<const char*>(tensor.data), size);
    fuzz::require(copy.size() == size, "the size of an answer follows from its shape");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  fuzz::run([&] {
    const sidecall::OnnxFile file(bytes, "", "fuzz");
    sidecall_model_options options{};
    try {
      const auto engine = sidecall::open_native_engine(file, "fuzz", options);
      run(*engine, 1);
      run(*engine, kRows);
    } catch (const std::bad_alloc&) {
      // The C ABI answers OUT_OF_MEMORY.
    }
  });
  return 0;
}
