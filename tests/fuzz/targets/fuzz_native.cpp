// Fuzzes the native engine with model files. Opening and running any file must end with answers or
// with a typed error, which slices of a batch and vector instructions do not change.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include <sidecall/sidecall.h>

#include "core/artifact/onnx_file.h"
#include "core/error.h"
#include "engines/native/batch.h"
#include "engines/native/engine.h"
#include "engines/native/plan.h"
#include "engines/native/trees/kernels/vectors.h"
#include "tests/fuzz/check.h"

using sidecall::native::Plan;
using sidecall::native::Text;
using sidecall::native::Vectors;

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

// Long inputs of real numbers have NaN and infinities too.
template <typename T>
void fill(void* data, int64_t count, double scale) {
  T* numbers = static_cast<T*>(data);
  for (int64_t i = 0; i < count; ++i) {
    numbers[i] = static_cast<T>(kNumbers[static_cast<size_t>(i) % std::size(kNumbers)] * scale);
    if constexpr (std::is_floating_point_v<T>) {
      if (i % 23 == 22) numbers[i] = std::numeric_limits<T>::quiet_NaN();
      if (i % 61 == 60)
        numbers[i] = std::numeric_limits<T>::infinity() * (i % 2 == 0 ? T{1} : T{-1});
    }
  }
}

void fill_input(sidecall::ExecutionContext* context, int32_t input,
                const sidecall::TensorSpec& spec, int64_t rows) {
  const sidecall::Dims dims = dims_of(spec, rows);
  const int64_t count = sidecall::count_elements(dims);
  if (count > kMaxInputElements)
    throw sidecall::Error(SIDECALL_OUT_OF_MEMORY,
                          "expected at most 4096 elements of an input, got more");
  context->allocate_input(input, dims);
  void* data = context->input_data(input);
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
        context->set_string(input, i, kTexts[static_cast<size_t>(i) % std::size(kTexts)]);
  }
}

void run(const sidecall::Engine& engine, int64_t rows) {
  std::vector<sidecall::TensorSpec> inputs, outputs;
  engine.describe(&inputs, &outputs);
  const std::unique_ptr<sidecall::ExecutionContext> context = engine.make_context(false);
  for (size_t i = 0; i < inputs.size(); ++i)
    fill_input(context.get(), static_cast<int32_t>(i), inputs[i], rows);
  for (size_t i = 0; i < outputs.size(); ++i)
    context->shape_output(static_cast<int32_t>(i), nullptr, nullptr);
  context->claim();
  context->run(-1);
  for (size_t i = 0; i < outputs.size(); ++i) {
    const auto output = static_cast<int32_t>(i);
    const sidecall::OutputTensor tensor = context->output(output);
    if (outputs[i].dtype == SIDECALL_DTYPE_STRING) {
      std::string bytes;
      std::vector<int64_t> offsets;
      context->read_strings(output, &bytes, &offsets);
      continue;
    }
    // Copies the answer, so that a sanitizer checks the access to each byte.
    const uint64_t size = sidecall::count_bytes(outputs[i].dtype, tensor.dims);
    const std::string copy(static_cast<const char*>(tensor.data), size);
    fuzz::require(copy.size() == size, "the size of an answer follows from its shape");
  }
}

// ---- Slices of a batch ----

template <typename T>
std::vector<char> numbers(int64_t count, double scale) {
  std::vector<char> bytes(static_cast<size_t>(count) * sizeof(T));
  fill<T>(bytes.data(), count, scale);
  return bytes;
}

// The elements of an input, in the form in which the engine reads them.
std::vector<char> elements(const Plan& plan, int32_t dtype, int64_t count) {
  switch (dtype) {
    case SIDECALL_DTYPE_FLOAT32:
      return numbers<float>(count, 1e-270);
    case SIDECALL_DTYPE_FLOAT64:
      return numbers<double>(count, 1);
    case SIDECALL_DTYPE_INT32:
      return numbers<int32_t>(count, 1e-299);
    case SIDECALL_DTYPE_INT64:
      return numbers<int64_t>(count, 1e-290);
    case SIDECALL_DTYPE_BOOL:
      return numbers<bool>(count, 1);
    default: {
      std::vector<char> bytes(static_cast<size_t>(count) * sizeof(Text));
      for (int64_t i = 0; i < count; ++i) {
        const auto at = static_cast<size_t>(i);
        const Text text = plan.graph().vocabulary.find(kTexts[at % std::size(kTexts)]);
        std::memcpy(bytes.data() + at * sizeof text, &text, sizeof text);
      }
      return bytes;
    }
  }
}

// The inputs of a run.
struct Given {
  std::vector<sidecall::Dims> dims;
  std::vector<std::vector<char>> inputs;
};

// Gives each input `rows` rows, if that dimension is free, and 1 for its other free dimensions.
// Returns nothing if an input would have more than `most` elements.
std::optional<Given> give(const Plan& plan, int64_t rows, int64_t most) {
  Given given;
  for (const sidecall::TensorSpec& spec : plan.graph().inputs) {
    sidecall::Dims dims = dims_of(spec, 1);
    if (!dims.empty() && spec.dims[0] < 0) dims[0] = rows;
    const int64_t count = sidecall::count_elements(dims);
    if (count > most) return std::nullopt;
    given.dims.push_back(std::move(dims));
    given.inputs.push_back(elements(plan, spec.dtype, count));
  }
  return given;
}

// The answers as a text, or the error. All NaN count as equal.
template <typename Runner>
std::string answers(Runner* runner, Given* given, size_t num_outputs) {
  static const std::atomic<bool> request{false};
  const sidecall::native::Interrupt never(request);
  std::string all;
  try {
    runner->prepare(given->dims, never);
    std::vector<std::vector<char>> outputs;
    for (size_t i = 0; i < num_outputs; ++i)
      outputs.emplace_back(sidecall::native::bytes_of(runner->output(i)) + 1);
    for (size_t i = 0; i < given->inputs.size(); ++i) runner->set_input(i, given->inputs[i].data());
    for (size_t i = 0; i < num_outputs; ++i) runner->set_output(i, outputs[i].data());
    runner->run(never);
    for (size_t i = 0; i < num_outputs; ++i) {
      const sidecall::native::Tensor& y = runner->output(i);
      for (const int64_t size : y.dims) all += std::to_string(size) + ",";
      for (int64_t k = 0; k < y.count; ++k) {
        if (y.dtype == SIDECALL_DTYPE_STRING) {
          all += y.as<Text>()[k].view();
          continue;
        }
        const uint64_t size = sidecall::native::element_bytes(y.dtype);
        const char* at = outputs[i].data() + static_cast<uint64_t>(k) * size;
        const bool is_nan = (y.dtype == SIDECALL_DTYPE_FLOAT32 && std::isnan(y.as<float>()[k])) ||
                            (y.dtype == SIDECALL_DTYPE_FLOAT64 && std::isnan(y.as<double>()[k]));
        if (is_nan) all += "nan";
        else all.append(at, size);
      }
    }
  } catch (const sidecall::Error& error) {
    // Slices need less memory, so a batch that runs at once may be the only one with these errors.
    if (error.status() == SIDECALL_OUT_OF_MEMORY || error.status() == SIDECALL_UNSUPPORTED) throw;
    return error.what();
  }
  return all;
}

// A batch in slices has the answers, or the error, of a batch that runs at once.
void compare_slices(const sidecall::OnnxFile& file) {
  const Plan plan(file.engine_input(), "fuzz: ");
  if (plan.slice_rows() == 0) return;
  std::optional<Given> given = give(plan, plan.slice_rows() + 37, 8 * kMaxInputElements);
  if (!given) return;
  const size_t num_outputs = plan.graph().outputs.size();
  sidecall::native::Batch batch(plan);
  const std::string sliced = answers(&batch, &*given, num_outputs);
  sidecall::native::Program program(plan);
  fuzz::require(sliced == answers(&program, &*given, num_outputs),
                "slices change no answer and no error");
}

// ---- Vector instructions ----

bool uses_vectors(const Plan& plan) {
  const std::vector<sidecall::native::Node>& nodes = plan.graph().nodes;
  return std::any_of(nodes.begin(), nodes.end(), [](const sidecall::native::Node& node) {
    return node.op == "MatMul" || node.op == "Gemm" || node.op.substr(0, 4) == "Tree";
  });
}

struct Forced {
  explicit Forced(Vectors vectors) { sidecall::native::force_vectors(vectors); }
  ~Forced() { sidecall::native::force_vectors(std::nullopt); }
};

// The answers of the model if it is opened with these instructions, to as many rows as the loops
// over trees and over products take at once, and more; nothing if it has no such loops.
std::optional<std::string> answers_with(Vectors vectors, const sidecall::OnnxFile& file) {
  constexpr int64_t kManyRows = 41;
  const Forced forced(vectors);
  const Plan plan(file.engine_input(), "fuzz: ");
  if (!uses_vectors(plan)) return std::nullopt;
  std::optional<Given> given = give(plan, kManyRows, kMaxInputElements);
  if (!given) return std::nullopt;
  sidecall::native::Program program(plan);
  return answers(&program, &*given, plan.graph().outputs.size());
}

// Each kind of vector instructions has the answers, or the error, of a processor without any.
void compare_vectors(const sidecall::OnnxFile& file) {
  const std::optional<std::string> plain = answers_with(Vectors::kNone, file);
  for (const Vectors vectors : {Vectors::kNeon, Vectors::kAvx2, Vectors::kAvx512}) {
    if (plain && sidecall::native::has_vectors(vectors))
      fuzz::require(answers_with(vectors, file) == plain, "vectors change no answer and no error");
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
      compare_slices(file);
      compare_vectors(file);
    } catch (const std::bad_alloc&) {
      // The C ABI answers OUT_OF_MEMORY.
    }
  });
  return 0;
}
