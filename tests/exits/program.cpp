// Exits while runs are in flight: program SLOW MATMUL STATE END DELAY_US. test_exits.py checks the
// outcome. Prints "ending" before it exits.
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <sidecall/sidecall.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr int64_t kSide = 1024;

struct Runs {
  std::unique_ptr<sidecall::Model> slow, matmul;
  std::unique_ptr<sidecall::Queue> queue;
  std::vector<std::unique_ptr<sidecall::Call>> calls;
};

// A global, so that its destructor runs after those of ONNX Runtime, which is loaded later.
Runs global_runs;

void check(sidecall_status status, const sidecall_error& error) {
  if (status != SIDECALL_OK) throw std::runtime_error(error.message);
}

void copy(const sidecall::Call& call, int32_t input, int32_t dtype,
          const std::vector<int64_t>& dims, const void* data, uint64_t bytes) {
  sidecall_error error = SIDECALL_ERROR_INIT;
  sidecall_view view = SIDECALL_VIEW_INIT;
  view.dtype = dtype;
  view.rank = static_cast<int32_t>(dims.size());
  view.dims = dims.data();
  view.data = const_cast<void*>(data);
  view.data_bytes = bytes;
  check(sidecall_call_copy_input(call.get(), input, &view, &error), error);
}

// Adds a run that does not end by itself and can be interrupted.
sidecall::Call& add_slow(Runs* runs) {
  runs->calls.push_back(std::make_unique<sidecall::Call>(*runs->slow));
  const float x[16] = {};
  const int64_t rounds = 1000000000;
  copy(*runs->calls.back(), 0, SIDECALL_DTYPE_FLOAT32, {16}, x, sizeof x);
  copy(*runs->calls.back(), 1, SIDECALL_DTYPE_INT64, {}, &rounds, sizeof rounds);
  return *runs->calls.back();
}

// Adds a run of one node, which takes about 50 ms and cannot be interrupted.
sidecall::Call& add_matmul(Runs* runs) {
  runs->calls.push_back(std::make_unique<sidecall::Call>(*runs->matmul));
  const std::vector<float> factor(kSide * kSide, 1.0F);
  for (int32_t input = 0; input < 2; ++input)
    copy(*runs->calls.back(), input, SIDECALL_DTYPE_FLOAT32, {kSide, kSide}, factor.data(),
         factor.size() * sizeof(float));
  return *runs->calls.back();
}

void take_one(Runs* runs, int64_t wait_ns) {
  sidecall_completion one;
  runs->queue->take({&one, 1}, wait_ns);
}

void bring_into(const std::string& state, Runs* runs) {
  if (state == "under_way" || state == "pending") {
    for (int i = 0; i < (state == "pending" ? 20 : 2); ++i) runs->queue->submit(add_slow(runs));
    take_one(runs, 5000000);  // runs in other processes begin meanwhile
  } else if (state == "timed_out") {
    for (int i = 0; i < 2; ++i) {
      runs->queue->submit(add_matmul(runs), 2000000);
      take_one(runs, -1);
    }
  } else if (state == "cancelled") {
    for (int i = 0; i < 2; ++i) {
      const uint64_t run = runs->queue->submit(add_matmul(runs));
      take_one(runs, 1000000);
      runs->queue->cancel(run);
    }
  } else if (state == "thread") {
    for (sidecall_call* call : {add_slow(runs).get(), add_matmul(runs).get()})
      std::thread([call] { sidecall_call_run(call, -1, nullptr); }).detach();
  } else {
    throw std::runtime_error("unknown state");
  }
}

int end(const std::string& how) {
  if (how == "return") return 3;
  if (how == "exit") std::exit(3);
  if (how == "exit in a thread") std::thread([] { std::exit(3); }).join();
  if (how == "quick_exit") std::quick_exit(3);
  if (how == "_exit") _exit(3);
  if (how == "exception") throw std::runtime_error("on purpose");
  if (how == "signal") raise(SIGTERM);
  if (how == "signal with a handler") {
    signal(SIGTERM, [](int) { std::exit(3); });
    raise(SIGTERM);
  }
  return 98;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) return 97;
  // This handler runs after the destructors of ONNX Runtime. It keeps the process alive for a
  // while, in which the threads of ONNX Runtime continue although its objects are destroyed.
  std::atexit([] { std::this_thread::sleep_for(std::chrono::milliseconds(100)); });
  const std::string state = argv[3], how = argv[4];
  Runs own_runs;
  // The last one is never deleted, so that its calls stay open until the process is gone.
  Runs* const runs = how == "destructors"              ? &own_runs
                     : how == "destructors of globals" ? &global_runs
                                                       : new Runs;
  sidecall::Options options;
  options.allow_exec = 1;
  options.wait_ns = 30000000000;
  runs->slow = std::make_unique<sidecall::Model>(argv[1], options);
  runs->matmul = std::make_unique<sidecall::Model>(argv[2], options);
  runs->queue = std::make_unique<sidecall::Queue>();
  bring_into(state, runs);
  std::this_thread::sleep_for(std::chrono::microseconds(std::atoi(argv[5])));
  std::puts("ending");
  std::fflush(stdout);
  return how.rfind("destructors", 0) == 0 ? 3 : end(how);
}
