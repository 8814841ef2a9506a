// Runs every listed kernel in place while a peer changes the kernel's input. The kernel must finish
// and stay inside its memory. SIDECALL_LONG=1 runs longer.
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <set>
#include <thread>

#include "core/artifact/in_place_safety.h"
#include "core/error.h"
#include "engines/onnxruntime/engine.h"
#include "flipping_cases.h"

using sidecall::OnnxFile;
using sidecall::TensorSpec;

namespace {

constexpr size_t kCacheLine = 64;
constexpr unsigned char kCanary = 0xa5;

size_t round_up(size_t bytes, size_t step) { return (bytes + step - 1) / step * step; }
size_t page() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }

// Memory that ends at an inaccessible page.
class Guarded {
 public:
  explicit Guarded(size_t bytes) : bytes_(bytes), mapped_(round_up(bytes + kCacheLine, page())) {
    base_ = mmap(nullptr, mapped_ + page(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(base_ != MAP_FAILED);
  }
  ~Guarded() { munmap(base_, mapped_ + page()); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  void map(int access, int fd) {
    REQUIRE(mmap(base_, mapped_, access,
                 fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED : MAP_SHARED | MAP_FIXED, fd,
                 0) == base_);
  }
  unsigned char* begin() const { return static_cast<unsigned char*>(base_); }
  unsigned char* data() const { return begin() + mapped_ - round_up(bytes_, kCacheLine); }
  size_t bytes() const { return bytes_; }
  size_t mapped() const { return mapped_; }

 private:
  size_t bytes_;
  size_t mapped_;
  void* base_;
};

// One input in two mappings: read-only for the engine, writable for the peer.
class SharedInput {
 public:
  explicit SharedInput(size_t bytes) : engine(bytes), peer(bytes) {
    const int fd = memfd_create("input", MFD_CLOEXEC);
    REQUIRE(ftruncate(fd, static_cast<off_t>(engine.mapped())) == 0);
    engine.map(PROT_READ, fd);
    peer.map(PROT_READ | PROT_WRITE, fd);
    close(fd);
  }
  Guarded engine, peer;
};

class Output {
 public:
  explicit Output(size_t bytes) : memory(bytes) {
    memory.map(PROT_READ | PROT_WRITE, -1);
    std::memset(memory.begin(), kCanary, memory.mapped());
  }
  bool is_intact() const {
    for (const unsigned char* p = memory.begin(); p < memory.begin() + memory.mapped(); ++p) {
      const bool inside = p >= memory.data() && p < memory.data() + memory.bytes();
      if (!inside && *p != kCanary) return false;
    }
    return true;
  }
  Guarded memory;
};

template <typename T>
void write_flips(unsigned char* data, size_t bytes, size_t round) {
  using Limits = std::numeric_limits<T>;
  constexpr bool kHasNan = Limits::has_quiet_NaN;
  static const T values[] = {0,
                             1,
                             kHasNan ? Limits::quiet_NaN() : Limits::max(),
                             static_cast<T>(-1),
                             kHasNan ? Limits::infinity() : Limits::lowest(),
                             Limits::max(),
                             kHasNan ? -Limits::infinity() : T{2},
                             Limits::lowest(),
                             static_cast<T>(1 << 20),
                             Limits::denorm_min(),
                             static_cast<T>(31)};
  constexpr size_t kCount = sizeof values / sizeof *values;
  for (size_t i = 0; i * sizeof(T) < bytes; ++i) {
    // Even rounds write one value everywhere, odd rounds mix the values.
    const T value = values[(round % 2 == 0 ? round / 2 : round + i) % kCount];
    std::memcpy(data + i * sizeof(T), &value, sizeof value);
  }
}

void flip(const SharedInput& input, int32_t dtype, size_t round) {
  if (dtype == SIDECALL_DTYPE_FLOAT32)
    write_flips<float>(input.peer.data(), input.peer.bytes(), round);
  if (dtype == SIDECALL_DTYPE_FLOAT64)
    write_flips<double>(input.peer.data(), input.peer.bytes(), round);
  if (dtype == SIDECALL_DTYPE_INT64)
    write_flips<int64_t>(input.peer.data(), input.peer.bytes(), round);
}

// A thread that writes until it is destroyed.
class Peer {
 public:
  Peer(const std::vector<std::unique_ptr<SharedInput>>& inputs,
       const std::vector<TensorSpec>& specs)
      : thread_([&] {
          for (size_t round = 0; !done_.load(std::memory_order_relaxed); ++round) {
            for (size_t i = 0; i < inputs.size(); ++i) flip(*inputs[i], specs[i].dtype, round);
            rounds_.store(round, std::memory_order_relaxed);
          }
        }) {}
  ~Peer() {
    done_ = true;
    thread_.join();
  }
  size_t rounds() const { return rounds_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> done_{false};
  std::atomic<size_t> rounds_{0};
  std::thread thread_;
};

void run_once(sidecall::ExecutionContext* context, bool may_refuse) {
  context->claim();
  try {
    context->run(-1);
  } catch (const sidecall::Error& error) {
    if (!may_refuse || error.status() != SIDECALL_ENGINE) throw;
  }
}

void run_beside_a_peer(const FlippingCase& sample, int runs) {
  const OnnxFile file(sample.graph.model(sample.opset, sample.ml_opset), "", sample.kernel);
  sidecall_model_options options;
  sidecall_model_options_init(&options);
  const std::unique_ptr<sidecall::Engine> engine =
      sidecall::open_ort_engine(file, sample.kernel, options);
  std::vector<TensorSpec> takes, gives;
  engine->describe(&takes, &gives);
  REQUIRE(sidecall::readable_in_place(file, takes) == std::vector<bool>(takes.size(), true));
  const std::unique_ptr<sidecall::ExecutionContext> context = engine->make_context(false);
  std::vector<std::unique_ptr<SharedInput>> inputs;
  std::vector<std::unique_ptr<Output>> outputs;
  for (size_t i = 0; i < takes.size(); ++i) {
    inputs.push_back(
        std::make_unique<SharedInput>(sidecall::count_bytes(takes[i].dtype, takes[i].dims)));
    context->borrow_input(static_cast<int32_t>(i), inputs.back()->engine.data(), takes[i].dims);
  }
  for (size_t i = 0; i < gives.size(); ++i) {
    outputs.push_back(
        std::make_unique<Output>(sidecall::count_bytes(gives[i].dtype, gives[i].dims)));
    context->shape_output(static_cast<int32_t>(i), &gives[i].dims, outputs.back()->memory.data());
  }
  const Peer peer(inputs, takes);
  const size_t before = peer.rounds();
  for (int run = 0; run < runs || peer.rounds() < before + 50; ++run)
    run_once(context.get(), sample.may_refuse);
  for (const auto& output : outputs) CHECK(output->is_intact());
}

}  // namespace

TEST_CASE("there is a model for every listed kernel") {
  std::set<std::string> listed, tried;
  for (const auto& kernel : sidecall::listed_kernels())
    listed.insert(std::string(kernel.domain) + ":" + std::string(kernel.op));
  for (const FlippingCase& sample : flipping_cases()) tried.insert(sample.kernel);
  CHECK(listed == tried);
}

TEST_CASE("a listed kernel ends within its memory while a peer changes its inputs") {
  const char* const is_long = std::getenv("SIDECALL_LONG");
  const int runs = is_long != nullptr && *is_long == '1' ? 20000 : 100;
  for (const FlippingCase& sample : flipping_cases()) {
    CAPTURE(sample.kernel);
    run_beside_a_peer(sample, runs);
  }
}
