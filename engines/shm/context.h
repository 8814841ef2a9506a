// Implements core's ExecutionContext over a channel: the tensors and runs of a call in another
// process. Made by the engine in engine.cpp.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "core/buffer.h"
#include "core/contract/signature.h"
#include "core/engine.h"
#include "engines/out_of_process/context.h"
#include "inputs.h"
#include "outputs.h"
#include "shm/client/client.h"

namespace sidecall {

// State that all contexts of one opened model share. It outlives them.
struct RemoteShared {
  shm::Client client;
  std::vector<TensorSpec> inputs, outputs;
  // The largest size, in bytes, of an answer that did not fit its slot. Later calls ask for slots
  // that have room for it. Relaxed: it is only a hint.
  std::atomic<uint64_t> answer_hint{0};

  RemoteShared(std::unique_ptr<shm::Endpoint> endpoint, const shm::ClientOptions& options)
      : client(std::move(endpoint), options) {}
};

class ShmContext final : public OutOfProcessContext {
 public:
  // `lends_connection`: the context keeps the inputs in its own memory, and every run copies them
  // to a channel. Otherwise they lie in the memory of its channel.
  ShmContext(RemoteShared* shared, bool lends_connection);
  ~ShmContext() override;

  void allocate_input(int32_t input, const Dims& dims) override;
  void* input_data(int32_t input) override { return input_data_[static_cast<size_t>(input)]; }
  void set_string(int32_t input, int64_t element, std::string_view value) override {
    inputs_.set_string(input, element, value);
    is_laid_out_ = false;
  }
  void borrow_input(int32_t input, const void* data, const Dims& dims) override;
  void* shape_output(int32_t output, const Dims* dims, void* data) override {
    is_laid_out_ = false;
    return outputs_.shape(output, dims, data);
  }
  void expect(const std::vector<Dims>& inputs,
              const std::vector<std::optional<Dims>>& outputs) override;
  void lend_connection(bool keeps_results) noexcept override;
  void* placed_output(int32_t output) override { return outputs_.data(output); }
  OutputTensor output(int32_t output) override { return outputs_.tensor(output); }
  void read_strings(int32_t output, std::string* bytes, std::vector<int64_t>* offsets) override {
    outputs_.read_strings(output, bytes, offsets);
  }
  bool is_read_only(int32_t output) const override { return outputs_.is_read_only(output); }

  int64_t default_timeout_ns() const noexcept override {
    return shared_->client.served().timeout_ns;
  }
  bool is_polled() const noexcept override { return true; }
  bool is_connecting() const noexcept override;
  bool has_news(Look look, Clock::time_point now) noexcept override;
  Clock::time_point prepare_sleep(const platform::WaitSet& set, uint64_t number) override;

 protected:
  Outcome execute(int64_t timeout_ns) override;
  void interrupt_engine() noexcept override;
  void rearm() noexcept override { should_stop_.store(false, std::memory_order_relaxed); }
  Progress begin(int64_t timeout_ns) override;
  void give_up_connection() noexcept override;
  Progress look() override;
  void take() override;

 private:
  struct Sizes {
    uint64_t request, response;
  };

  void allocate_own(int32_t input, const Dims& dims);
  uint64_t wanted_response() const;
  Sizes wanted_sizes() const;
  bool has_room() const;
  bool move_to_idle();
  void move_at_once();
  void move(shm::Deadline deadline, const std::atomic<bool>* stop = nullptr);
  void adopt(std::unique_ptr<shm::Channel> fresh);
  void give_back_channel() noexcept;
  void release_retired();
  bool is_laid_out();
  bool make_ready(shm::Deadline deadline, shm::Awaited awaited);
  bool send(int64_t timeout_ns, shm::Awaited awaited);
  void read_answer();

  RemoteShared* const shared_;
  const bool lends_connection_;
  RemoteInputs inputs_;
  RemoteOutputs outputs_;
  std::vector<void*> input_data_;
  std::vector<Buffer> own_inputs_;  // used only if lends_connection_

  std::unique_ptr<shm::Channel> channel_;
  // interrupt_engine() takes this lock to use channel_ from another thread. The owner of the call
  // takes it only to replace channel_.
  std::mutex channel_lock_;
  std::vector<std::unique_ptr<shm::Channel>> retired_;  // their memory may still hold inputs

  // The channel has room for the present shapes, and every input has a place in its slot.
  bool is_laid_out_ = false;
  Progress progress_ = Progress::kDone;  // of the run that begin() started
  bool is_under_way_ = false;
  bool has_answer_ = false;  // the last run succeeded
  std::exception_ptr failure_;

  // Partners: interrupt_engine(), on any thread, stores this flag and then cancels the channel.
  // send() publishes the request, which clears an earlier cancel of the channel, and then loads
  // this flag. Each side stores and then loads, so both accesses are seq_cst.
  std::atomic<bool> should_stop_{false};
};

}  // namespace sidecall
