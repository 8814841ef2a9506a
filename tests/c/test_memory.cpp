// Counts the allocations of a run and compares them with a plain ONNX Runtime program; also checks
// that the process does not grow.
//
// This file replaces malloc, so it is a separate program and is not built with sanitizers.
#include <dlfcn.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#define ORT_API_MANUAL_INIT
#include <onnxruntime_c_api.h>

#include "support.h"

extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* old, size_t size);
void* __libc_memalign(size_t alignment, size_t size);
}

namespace {

std::atomic<bool> counting{false};
std::atomic<int64_t> allocations{0};
// The number of allocations of this thread before one fails; -1: none fails.
thread_local int64_t failing = -1;

void count() noexcept {
  if (counting.load(std::memory_order_relaxed)) allocations.fetch_add(1, std::memory_order_relaxed);
}

bool fails() noexcept { return failing >= 0 && failing-- == 0; }

// The number of allocations in `rounds` runs of `body`, after ten runs to warm up.
template <typename Body>
int64_t allocations_of(int rounds, Body body) {
  for (int i = 0; i < 10; ++i) body();
  allocations = 0;
  counting = true;
  for (int i = 0; i < rounds; ++i) body();
  counting = false;
  return allocations;
}

}  // namespace

// These replace the allocator of the whole process, so libonnxruntime uses them too.
extern "C" {
__attribute__((visibility("default"))) void* malloc(size_t size) {
  count();
  if (fails()) return nullptr;
  return __libc_malloc(size);
}
__attribute__((visibility("default"))) void* calloc(size_t number, size_t size) {
  count();
  return __libc_calloc(number, size);
}
__attribute__((visibility("default"))) void* realloc(void* old, size_t size) {
  count();
  if (fails()) return nullptr;
  return __libc_realloc(old, size);
}
__attribute__((visibility("default"))) void* memalign(size_t alignment, size_t size) {
  count();
  return __libc_memalign(alignment, size);
}
__attribute__((visibility("default"))) void* aligned_alloc(size_t alignment, size_t size) {
  count();
  return __libc_memalign(alignment, size);
}
__attribute__((visibility("default"))) int posix_memalign(void** out, size_t alignment,
                                                          size_t size) {
  count();
  *out = __libc_memalign(alignment, size);
  return *out == nullptr ? ENOMEM : 0;
}
}

namespace {

// The shortest program over ONNX Runtime's own C API: one session and one IoBinding, which is
// reused.
class Raw {
 public:
  explicit Raw(const std::string& path) {
    setenv("ORT_DISABLE_TELEMETRY", "1", 1);  // the telemetry queue would grow with every session
    library_ = dlopen(test_paths::onnxruntime().c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library_ == nullptr) throw std::runtime_error(dlerror());
    const auto base = reinterpret_cast<const OrtApiBase* (*)()>(dlsym(library_, "OrtGetApiBase"));
    api_ = base()->GetApi(ORT_API_VERSION);
    OrtSessionOptions* options = nullptr;
    check(api_->CreateEnv(ORT_LOGGING_LEVEL_FATAL, "raw", &env_));
    check(api_->CreateSessionOptions(&options));
    check(api_->SetIntraOpNumThreads(options, 1));
    check(api_->DisableCpuMemArena(options));
    check(api_->CreateSession(env_, path.c_str(), options, &session_));
    api_->ReleaseSessionOptions(options);
    check(api_->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeCPU, &memory_));
    check(api_->CreateIoBinding(session_, &binding_));
    check(api_->CreateRunOptions(&run_));
  }
  Raw(const Raw&) = delete;
  Raw& operator=(const Raw&) = delete;
  ~Raw() {
    for (OrtValue* value : {input_, output_}) api_->ReleaseValue(value);
    api_->ReleaseRunOptions(run_);
    api_->ReleaseIoBinding(binding_);
    api_->ReleaseMemoryInfo(memory_);
    api_->ReleaseSession(session_);
    api_->ReleaseEnv(env_);
  }

  void bind(const char* input, float* x, std::vector<int64_t> x_dims, const char* output, float* y,
            std::vector<int64_t> y_dims) {
    input_ = tensor(x, x_dims);
    output_ = tensor(y, y_dims);
    check(api_->BindInput(binding_, input, input_));
    check(api_->BindOutput(binding_, output, output_));
  }

  // Binds the same input to another pointer, as a program does when its data moves for each call.
  void rebind(const char* input, float* x, const std::vector<int64_t>& dims) {
    api_->ReleaseValue(input_);
    input_ = tensor(x, dims);
    check(api_->BindInput(binding_, input, input_));
  }

  void run() { check(api_->RunWithBinding(session_, run_, binding_)); }

 private:
  void check(OrtStatus* status) {
    if (status != nullptr) throw std::runtime_error(api_->GetErrorMessage(status));
  }
  OrtValue* tensor(float* data, const std::vector<int64_t>& dims) {
    size_t count = 1;
    for (const int64_t dim : dims) count *= static_cast<size_t>(dim);
    OrtValue* out = nullptr;
    check(api_->CreateTensorWithDataAsOrtValue(memory_, data, count * sizeof(float), dims.data(),
                                               dims.size(), ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
                                               &out));
    return out;
  }

  void* library_ = nullptr;
  const OrtApi* api_ = nullptr;
  OrtEnv* env_ = nullptr;
  OrtSession* session_ = nullptr;
  OrtMemoryInfo* memory_ = nullptr;
  OrtIoBinding* binding_ = nullptr;
  OrtRunOptions* run_ = nullptr;
  OrtValue* input_ = nullptr;
  OrtValue* output_ = nullptr;
};

int64_t resident_kib() {
  std::ifstream file("/proc/self/statm");
  int64_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE) / 1024;
}

constexpr int kRounds = 1000;

}  // namespace

TEST_CASE("the allocation hook counts allocations") {
  // Without volatile the compiler would remove both the allocation and the release.
  static void* volatile sink = nullptr;
  CHECK(allocations_of(kRounds, [] { std::free(sink = std::malloc(8)); }) == kRounds);
  CHECK(allocations_of(kRounds, [] { delete static_cast<int*>(sink = new int(3)); }) == kRounds);
  CHECK(allocations_of(kRounds, [] {}) == 0);
}

TEST_CASE("a run makes no allocation except those of ONNX Runtime") {
  const std::string path = test_paths::model("matrix.onnx");
  Raw raw(path);
  alignas(64) float x[4] = {1, 2, 1, 4}, y[1] = {};
  raw.bind("X", x, {1, 4}, "prediction", y, {1, 1});
  const int64_t of_engine = allocations_of(kRounds, [&] { raw.run(); });
  CHECK(y[0] == 4121);
  const int64_t of_rebinding = allocations_of(kRounds, [&] {
    raw.rebind("X", x, {1, 4});
    raw.run();
  });

  const sidecall::Model model(path);
  sidecall::Call call(model);
  const auto values = call.input(0).as<float>();
  std::copy(std::begin(x), std::end(x), values.begin());
  CHECK(allocations_of(kRounds, [&] { call.run(); }) <= of_engine);
  CHECK(call.get_f64(0, 0) == 4121);
  // Views, setters, getters and copies of a shape that was used before do not allocate either.
  const int64_t dims[] = {1, 4};
  CHECK(allocations_of(kRounds, [&] {
          call.set(0, 0, 5.0);
          call.set(0, 2, true);
          call.set(0, 3, 1);
          call.run();
          if (call.get_f64(0, 0) < 0) throw std::runtime_error("wrong");
        }) <= of_engine);
  CHECK(allocations_of(kRounds, [&] {
          call.copy_input(0, sidecall::View::of<float>({x, 4}, {dims, 2}));
          call.run();
          if (call.output(0).as<float>()[0] != 4121) throw std::runtime_error("wrong");
        }) <= of_engine);
  CHECK(allocations_of(kRounds, [&] {
          call.bind_input(0, sidecall::View::of<float>({x, 4}, {dims, 2}));
          call.run();
        }) <= of_rebinding);
}

TEST_CASE("opening and closing 10 000 times does not grow the process") {
  const std::string path = test_paths::model("matrix.onnx");
  const auto once = [&] {
    const sidecall::Model model(path);
    sidecall::Call call(model);
    for (float& value : call.input(0).as<float>()) value = 1;
    call.run();
  };
  for (int i = 0; i < 1000; ++i) once();
  const int64_t before = resident_kib();
  for (int i = 0; i < 10000; ++i) once();
  const int64_t growth = resident_kib() - before;
  std::printf("open_close_growth_kib: %lld\n", static_cast<long long>(growth));
  CHECK(growth < 1024);
}

TEST_CASE("failures do not grow the process") {
  const sidecall::Model model = support::open("kinds.onnx");
  const std::string json = R"([{"f32":"x"},{"i64":[]},{"nope":1}])";
  const auto once = [&] {
    sidecall_text* text = nullptr;
    sidecall_model* other = nullptr;
    sidecall_predict_json(model.get(), json.data(), json.size(), &text, support::error());
    sidecall_model_open(test_paths::model("contracts/format_4.onnx").c_str(), nullptr, &other,
                        support::error());
    sidecall_model_open(test_paths::model("graphs/zipmap.onnx").c_str(), nullptr, &other,
                        support::error());
  };
  for (int i = 0; i < 300; ++i) once();
  const int64_t before = resident_kib();
  for (int i = 0; i < 3000; ++i) once();
  CHECK(resident_kib() - before < 1024);
}

TEST_CASE(
    "a failed allocation gives the same status in the return value and in the error, with a text") {
  for (const std::string name : {"broken/group_in_output.onnx", "external/hidden_location.onnx",
                                 "external/parent.onnx", "no_such.onnx"}) {
    const std::string path = test_paths::model(name);
    int num_out_of_memory = 0;
    bool has_failed = true;
    for (int64_t left = 0; has_failed; ++left) {
      sidecall_error err = SIDECALL_ERROR_INIT;
      sidecall_model* model = nullptr;
      failing = left;
      const sidecall_status status = sidecall_model_open(path.c_str(), nullptr, &model, &err);
      has_failed = failing < 0;
      failing = -1;
      INFO(name << ", allocation " << left << ": " << sidecall_status_name(status) << ", "
                << err.message);
      REQUIRE(status != SIDECALL_OK);
      REQUIRE(model == nullptr);
      REQUIRE(err.status == status);
      REQUIRE(err.message[0] != '\0');
      REQUIRE((status == SIDECALL_OUT_OF_MEMORY) == (err.retryable != 0));
      num_out_of_memory += status == SIDECALL_OUT_OF_MEMORY ? 1 : 0;
    }
    CHECK(num_out_of_memory > 0);
  }
}
