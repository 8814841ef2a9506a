// Implements core's ExecutionContext over net/: the tensors and runs of a call to a server. Made by
// the engine in engine.cpp.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "core/buffer.h"
#include "core/clock.h"
#include "core/contract/signature.h"
#include "core/engine.h"
#include "engines/out_of_process/context.h"
#include "net/api/net.h"
#include "verifier.h"

namespace sidecall {

// State that all contexts of one opened model share. It outlives them.
struct NetworkShared {
  NetworkShared(const sidecall_net_api& library, const std::string& uri);
  ~NetworkShared() { api.close(client); }
  NetworkShared(const NetworkShared&) = delete;
  NetworkShared& operator=(const NetworkShared&) = delete;

  // Throws FORKED in a forked child of the process that opened the model.
  void require_own() const;
  // The id of the model that gave the last answer; "" if the server does not tell it.
  std::string model_id() const;
  void set_model_id(const char* id);

  const sidecall_net_api& api;
  const uint64_t generation;  // the fork generation
  sidecall_net_client* client = nullptr;
  std::vector<TensorSpec> inputs, outputs;
  // Whether a run may be executed twice, because it has no effect but its answer. Set before the
  // first run of a caller.
  bool is_repeatable = false;
  // Verifies servers that appear after the model was opened.
  Verifier verifier;

 private:
  mutable std::mutex mutex_;
  std::string model_id_;
};

// Throws the error that net/ reported.
[[noreturn]] void throw_network_error(const sidecall_net_error& error);

class NetworkContext final : public OutOfProcessContext {
 public:
  // `has_refusals`: see Engine::expect_refusals(). `replica`: the server of all runs, which is
  // closed after the context; nullptr if each run goes to any server that was verified.
  NetworkContext(NetworkShared* shared, bool has_refusals, const sidecall_net_replica* replica);
  ~NetworkContext() override;

  bool has_joint_layout() const noexcept override { return false; }
  void stop_listening() noexcept override;
  void allocate_input(int32_t input, const Dims& dims) override;
  void* input_data(int32_t input) override { return at(input).buffer.data(); }
  void set_string(int32_t input, int64_t element, std::string_view value) override;
  void borrow_input(int32_t input, const void* data, const Dims& dims) override;
  void* shape_output(int32_t output, const Dims* dims, void* data) override;
  const int64_t* shape_refusals(int64_t rows) override;
  OutputTensor output(int32_t output) override;
  void read_strings(int32_t output, std::string* bytes, std::vector<int64_t>* offsets) override;

 protected:
  Outcome execute(int64_t timeout_ns) override;
  void interrupt_engine() noexcept override;
  void rearm() noexcept override { should_stop_.store(false, std::memory_order_relaxed); }
  Progress begin(int64_t timeout_ns) override;
  Progress look() override;
  void take() override;

 private:
  struct Input {
    Dims dims;
    const void* data = nullptr;
    Buffer buffer;                     // the elements, unless they are strings or borrowed
    std::vector<std::string> strings;  // the elements of a string input
    std::string text;                  // of a run: all strings, one after the other
    std::vector<int64_t> offsets;
  };
  struct Output {
    Dims expected;          // the shape; -1 is a dimension that is not known before the run
    void* bound = nullptr;  // the caller's memory
    Buffer buffer;          // used unless the caller gave memory
    Dims dims;              // after a run
    void* data = nullptr;
    std::string text;
    std::vector<int64_t> offsets;
  };

  Input& at(int32_t input) { return inputs_[static_cast<size_t>(input)]; }
  // `waits_next`: this thread waits for the run next.
  void send(int64_t timeout_ns, bool waits_next);
  void abandon();
  void read(size_t output, const sidecall_net_tensor& tensor);

  NetworkShared* const shared_;
  const bool has_refusals_;
  std::vector<Input> inputs_;
  std::vector<Output> outputs_;  // in the order of the server, so the refusals come last
  std::vector<sidecall_net_tensor> sent_, expected_;  // of a run: the inputs and outputs
  int64_t num_refusals_ = 0;
  Clock::time_point deadline_;
  Progress progress_ = Progress::kDone;
  // Outlives every run. interrupt_engine() uses it from other threads.
  sidecall_net_call* call_ = nullptr;

  // Partners: interrupt_engine(), on any thread, stores this flag and then cancels the run of
  // `call_`. send() starts the run and then loads the flag. Both accesses are seq_cst, so at least
  // one of the two sees the other.
  std::atomic<bool> should_stop_{false};
};

}  // namespace sidecall
