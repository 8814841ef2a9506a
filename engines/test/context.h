// Implements core's ExecutionContext for test: URIs. Made by the engine in engine.cpp.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/process/fork_generation.h"
#include "core/buffer.h"
#include "core/clock.h"
#include "engines/out_of_process/context.h"

namespace sidecall {

class TestContext final : public OutOfProcessContext {
 public:
  // `generation`: the fork generation in which the model was opened.
  TestContext(std::chrono::milliseconds run_time, uint64_t generation)
      : run_time_(run_time), generation_(generation) {}
  ~TestContext() override;

  bool has_joint_layout() const noexcept override { return false; }
  void allocate_input(int32_t input, const Dims& dims) override;
  void* input_data(int32_t /*input*/) override { return input_.data(); }
  void set_string(int32_t /*input*/, int64_t /*element*/, std::string_view /*value*/) override {}
  void borrow_input(int32_t input, const void* data, const Dims& dims) override;
  void* shape_output(int32_t output, const Dims* dims, void* data) override;
  OutputTensor output(int32_t /*output*/) override { return {dims_, result()}; }
  void read_strings(int32_t /*output*/, std::string* /*bytes*/,
                    std::vector<int64_t>* /*offsets*/) override {}
  void stop_listening() noexcept override;

 protected:
  Outcome execute(int64_t timeout_ns) override;
  void interrupt_engine() noexcept override;
  void rearm() noexcept override;
  Progress begin(int64_t timeout_ns) override;
  Progress look() override;
  void take() override;

 private:
  // What the context and the thread of a run share. The thread may end after the context.
  struct Mailbox {
    std::mutex mutex;
    std::condition_variable changed;
    uint64_t run = 0;  // the number of the run whose answer is awaited
    bool is_answered = false;
    bool is_interrupted = false;
    std::vector<float> answer;
    RunListener* listener = nullptr;

    void notify() noexcept {  // `mutex` is locked
      if (listener != nullptr) listener->on_progress();
      changed.notify_all();
    }
  };

  bool is_forked() const noexcept { return generation_ != fork_generation(); }
  void send(int64_t timeout_ns, RunListener* listener);
  Progress progress() const;
  void set_interrupted(bool is_interrupted) noexcept;
  void* result() { return bound_ != nullptr ? bound_ : output_.data(); }

  const std::chrono::milliseconds run_time_;
  const uint64_t generation_;
  Buffer input_, output_;
  const void* borrowed_ = nullptr;  // the caller's memory; nullptr: the input is in input_
  void* bound_ = nullptr;           // the caller's memory; nullptr: the output is in output_
  Dims dims_;                       // of the input and the output
  Clock::time_point deadline_;
  Progress progress_ = Progress::kDone;  // of a run in a queue
  const std::shared_ptr<Mailbox> mailbox_ = std::make_shared<Mailbox>();
};

}  // namespace sidecall
