// Runs a call over a channel, and finds a channel with room for the shapes of the call; see
// context.h.
#include "context.h"

#include <algorithm>

#include "core/error.h"
#include "core/shapes.h"
#include "errors.h"
#include "shm/common/layout.h"

namespace sidecall {
namespace {

// Answers larger than this do not raise answer_hint. It is better that the server sends them as
// one-shot results than that every slot has room for them.
constexpr uint64_t kMostRemembered = UINT64_C(1) << 20;

// The size of a new slot. A slot that has to grow gets half as much again, so that sizes that grow
// in small steps do not need a new connection each time.
uint64_t slot_bytes(uint64_t wanted, uint64_t present, uint64_t limit) {
  if (wanted <= present) return present;
  const uint64_t roomy =
      present == 0 ? wanted : std::max(wanted, std::min(present + present / 2, limit));
  return shm::align_up(std::max<uint64_t>(roomy, 1), shm::kPage);
}

bool has_strings(const std::vector<TensorSpec>& specs) {
  return std::any_of(specs.begin(), specs.end(),
                     [](const TensorSpec& spec) { return spec.dtype == SIDECALL_DTYPE_STRING; });
}

}  // namespace

ShmContext::ShmContext(RemoteShared* shared, bool lends_connection)
    : shared_(shared),
      lends_connection_(lends_connection),
      inputs_(shared->inputs),
      outputs_(shared->outputs, has_strings(shared->inputs)),
      input_data_(shared->inputs.size(), nullptr),
      own_inputs_(shared->inputs.size()) {}

ShmContext::~ShmContext() {
  if (is_under_way_) channel_.reset();  // closes the connection, which gives the run up
  if (channel_) shared_->client.give_back(std::move(channel_));
  for (auto& channel : retired_) shared_->client.give_back(std::move(channel));
}

// ---- Shapes and memory ----

void ShmContext::expect(const std::vector<Dims>& inputs,
                        const std::vector<std::optional<Dims>>& outputs) {
  inputs_.expect(inputs);
  outputs_.expect(outputs);
  is_laid_out_ = false;
}

uint64_t ShmContext::wanted_response() const {
  const uint64_t wanted =
      std::max(outputs_.wanted_bytes(), shared_->answer_hint.load(std::memory_order_relaxed));
  // An answer that does not fit is sent as a one-shot result.
  return std::min(wanted, shared_->client.served().max_response_bytes);
}

bool ShmContext::has_room() const {
  return channel_ != nullptr && wanted_response() <= channel_->response_bytes();
}

// Never waits for the server: a run connects the channel if necessary. Allocate first: this fails
// without memory, and then nothing has changed yet.
void ShmContext::allocate_input(int32_t input, const Dims& dims) {
  is_laid_out_ = false;
  if (lends_connection_) return allocate_own(input, dims);
  const bool has_place = inputs_.find_place(input, dims, channel_ ? channel_->request_bytes() : 0);
  if (!has_place || !has_room()) move_at_once();
  inputs_.shape(input, dims);
  input_data_[static_cast<size_t>(input)] = inputs_.use_place(input, channel_->request());
}

void ShmContext::allocate_own(int32_t input, const Dims& dims) {
  const int32_t dtype = shared_->inputs[static_cast<size_t>(input)].dtype;
  Buffer& buffer = own_inputs_[static_cast<size_t>(input)];
  if (dtype != SIDECALL_DTYPE_STRING) buffer.reserve(count_bytes(dtype, dims));
  inputs_.shape(input, dims);
  if (dtype == SIDECALL_DTYPE_STRING) return;
  inputs_.borrow(input, buffer.data());
  input_data_[static_cast<size_t>(input)] = buffer.data();
}

void ShmContext::borrow_input(int32_t input, const void* data, const Dims& dims) {
  is_laid_out_ = false;
  inputs_.shape(input, dims);
  inputs_.borrow(input, data);
}

ShmContext::Sizes ShmContext::wanted_sizes() const {
  const shm::Served& served = shared_->client.served();
  return {slot_bytes(inputs_.wanted_bytes(), channel_ ? channel_->request_bytes() : 0,
                     served.max_request_bytes),
          slot_bytes(wanted_response(), channel_ ? channel_->response_bytes() : 0,
                     served.max_response_bytes)};
}

// Moves the call to a channel that has room for all inputs and outputs.
void ShmContext::move(shm::Deadline deadline, const std::atomic<bool>* stop) {
  const Sizes sizes = wanted_sizes();
  adopt(with_core_errors(
      [&] { return shared_->client.borrow(sizes.request, sizes.response, deadline, stop); }));
}

// Like move(), but uses only an idle channel that exists already, so it never waits. Returns false
// if there is no such channel.
bool ShmContext::move_to_idle() {
  const Sizes sizes = wanted_sizes();
  std::unique_ptr<shm::Channel> fresh =
      with_core_errors([&] { return shared_->client.borrow_idle(sizes.request, sizes.response); });
  if (fresh == nullptr) return false;
  adopt(std::move(fresh));
  return true;
}

// Like move(), but never waits: if no idle channel fits, the run connects while its owner polls.
void ShmContext::move_at_once() {
  if (move_to_idle()) return;
  const Sizes sizes = wanted_sizes();
  adopt(with_core_errors(
      [&] { return shared_->client.make_unconnected(sizes.request, sizes.response); }));
}

// Replaces the channel. Inputs that are in the slot of the old channel stay there, because the
// caller has their addresses and may write to them. They are copied to the new slot at each run.
void ShmContext::adopt(std::unique_ptr<shm::Channel> fresh) {
  inputs_.move(channel_ ? channel_->request() : nullptr);
  {
    const std::lock_guard lock(channel_lock_);
    std::swap(channel_, fresh);
  }
  if (fresh) retired_.push_back(std::move(fresh));
}

// Gives back retired channels that hold no input any more. Called at the beginning of the next run
// and not earlier, because until then the caller may still read outputs of the last run in them.
void ShmContext::release_retired() {
  if (retired_.empty()) return;
  const auto is_used = [&](const auto& channel) {
    return inputs_.uses(channel->request(), channel->request_bytes());
  };
  const auto unused = std::stable_partition(retired_.begin(), retired_.end(), is_used);
  for (auto channel = unused; channel != retired_.end(); ++channel)
    shared_->client.give_back(std::move(*channel));
  retired_.erase(unused, retired_.end());
}

void ShmContext::lend_connection(bool keeps_results) noexcept {
  if (!lends_connection_ || channel_ == nullptr) return;
  if (keeps_results && has_answer_ && !outputs_.leave_slot()) return;
  give_back_channel();
}

// Only if the inputs lie in memory of this process, so that nothing of them is lost.
void ShmContext::give_back_channel() noexcept {
  is_laid_out_ = false;
  inputs_.move(nullptr);
  std::unique_ptr<shm::Channel> unused;
  {
    const std::lock_guard lock(channel_lock_);
    unused = std::move(channel_);
  }
  shared_->client.give_back(std::move(unused));
}

// The inputs may lie in the memory of the connection, so that memory stays.
void ShmContext::give_up_connection() noexcept {
  if (channel_ == nullptr) return;
  if (lends_connection_) give_back_channel();
  else channel_->drop_occupied();
}

// ---- Runs ----

bool ShmContext::is_laid_out() {
  if (!is_laid_out_) is_laid_out_ = has_room() && inputs_.find_places(channel_->request_bytes());
  return is_laid_out_;
}

// Makes sure that a request can be written. The slot must have room for the request. The server
// must have finished reading the previous request, so that the table does not change while the
// server reads it. A run in a queue does not wait for that, but moves to another channel. Returns
// false if the deadline passed or interrupt_engine() was called.
bool ShmContext::make_ready(shm::Deadline deadline, shm::Awaited awaited) {
  if (awaited == shm::Awaited::kInQueue) {
    move_at_once();
    return true;
  }
  if (!is_laid_out()) move(deadline, &should_stop_);
  return with_core_errors([&] { return channel_->await_free(deadline, should_stop_); });
}

bool ShmContext::send(int64_t timeout_ns, shm::Awaited awaited) {
  failure_ = nullptr;
  is_under_way_ = false;
  if (!has_answer_) outputs_.forget_places();
  has_answer_ = false;
  release_retired();
  int64_t timeout = timeout_ns < 0 ? shared_->client.served().timeout_ns : timeout_ns;
  // A run in a queue does not wait until the server has ended an earlier one.
  const bool must_be_free = inputs_.needs_exclusive_write() || awaited == shm::Awaited::kInQueue;
  const bool is_ready =
      is_laid_out() && (!must_be_free || with_core_errors([&] { return channel_->is_free(); }));
  if (!is_ready) {
    const shm::Deadline deadline = shm::Deadline::after(timeout);
    if (!make_ready(deadline, awaited)) return false;
    timeout = std::max<int64_t>(deadline.left_ns(), 1);
  }
  const bool is_same = inputs_.write(channel_->request());
  try {
    channel_->publish(is_same, timeout, awaited);
  } catch (const shm::Error& error) {
    inputs_.forget_table();
    throw to_core(error);
  }
  is_under_way_ = true;
  if (should_stop_.load(std::memory_order_seq_cst)) channel_->cancel();
  return true;
}

void ShmContext::interrupt_engine() noexcept {
  should_stop_.store(true, std::memory_order_seq_cst);
  const std::lock_guard lock(channel_lock_);
  if (channel_) channel_->cancel();
}

void ShmContext::read_answer() {
  is_under_way_ = false;
  const shm::Answer answer = with_core_errors([&] { return channel_->take(); });
  outputs_.read(answer);
  has_answer_ = true;
  if (!answer.is_one_shot) return;
  const uint64_t bytes = outputs_.answer_bytes();
  if (bytes > kMostRemembered) return;
  is_laid_out_ = false;
  uint64_t known = shared_->answer_hint.load(std::memory_order_relaxed);
  while (known < bytes &&
         !shared_->answer_hint.compare_exchange_weak(known, bytes, std::memory_order_relaxed))
    continue;
}

Outcome ShmContext::execute(int64_t timeout_ns) {
  if (!send(timeout_ns, shm::Awaited::kAtOnce)) return Outcome::kInterrupted;
  const shm::Outcome outcome = with_core_errors([&] { return channel_->wait(); });
  is_under_way_ = false;
  if (outcome != shm::Outcome::kAnswered) return Outcome::kInterrupted;
  read_answer();
  return Outcome::kDone;
}

Progress ShmContext::begin(int64_t timeout_ns) {
  progress_ =
      send(timeout_ns, shm::Awaited::kInQueue) ? Progress::kPending : Progress::kInterrupted;
  return progress_;
}

bool ShmContext::is_connecting() const noexcept {
  return progress_ == Progress::kPending && channel_->is_connecting();
}

bool ShmContext::has_news(Look look, Clock::time_point now) noexcept {
  return progress_ != Progress::kPending ||
         channel_->has_news(look == Look::kAll, look != Look::kWords, ns_of(now));
}

Clock::time_point ShmContext::prepare_sleep(const platform::WaitSet& set, uint64_t number) {
  if (progress_ != Progress::kPending) return Clock::time_point::min();
  const shm::Deadline next =
      with_core_errors([&] { return channel_->prepare_sleep(set.fd(), number); });
  return time_point_of(next.at_ns());
}

Progress ShmContext::look() {
  if (progress_ != Progress::kPending) return progress_;
  try {
    const shm::Outcome outcome = channel_->poll();
    if (outcome == shm::Outcome::kPending) return progress_;
    progress_ = outcome == shm::Outcome::kAnswered ? Progress::kDone : Progress::kInterrupted;
    is_under_way_ = progress_ == Progress::kDone;
  } catch (const shm::Error& error) {
    failure_ = std::make_exception_ptr(to_core(error));
    progress_ = Progress::kDone;
    is_under_way_ = false;
  } catch (...) {
    failure_ = std::current_exception();
    progress_ = Progress::kDone;
    is_under_way_ = false;
  }
  return progress_;
}

void ShmContext::take() {
  if (failure_) std::rethrow_exception(failure_);
  read_answer();
}

}  // namespace sidecall
