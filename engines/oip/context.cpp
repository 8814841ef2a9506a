// Runs a call on a server over net/; see context.h.
#include "context.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

#include "base/dtype.h"
#include "base/process/fork_generation.h"
#include "core/error.h"
#include "core/shapes.h"
#include "core/text.h"
#include "faults.h"

namespace sidecall {
namespace {

// Whether a tensor of the shape `dims` is one that a server announced as `declared`.
bool fits(const Dims& dims, const Dims& declared) {
  return dims.size() == declared.size() &&
         std::equal(dims.begin(), dims.end(), declared.begin(),
                    [](int64_t got, int64_t size) { return size < 0 || got == size; });
}

}  // namespace

void throw_network_error(const sidecall_net_error& error) {
  const std::unique_ptr<char, void (*)(void*)> faults(error.faults, &std::free);
  if (faults != nullptr) {
    size_t total = 0;
    std::vector<Fault> list = read_faults(faults.get(), &total);
    if (!list.empty()) throw Error(error.status, printable(error.message), std::move(list), total);
  }
  throw Error(error.status, printable(error.message));
}

NetworkShared::NetworkShared(const sidecall_net_api& library, const std::string& uri)
    : api(library), generation(fork_generation()) {
  sidecall_net_error error{};
  if (api.open(uri.c_str(), &client, &error) != SIDECALL_OK) throw_network_error(error);
}

void NetworkShared::require_own() const {
  if (generation != fork_generation())
    throw Error(SIDECALL_FORKED,
                "the model was opened before fork(): open it again in the child process");
}

std::string NetworkShared::model_id() const {
  const std::lock_guard lock(mutex_);
  return model_id_;
}

void NetworkShared::set_model_id(const char* id) {
  const std::lock_guard lock(mutex_);
  if (*id != '\0' && model_id_ != id) model_id_ = id;
}

NetworkContext::NetworkContext(NetworkShared* shared, bool has_refusals,
                               const sidecall_net_replica* replica)
    : shared_(shared),
      has_refusals_(has_refusals),
      inputs_(shared->inputs.size()),
      outputs_(shared->outputs.size()),
      sent_(shared->inputs.size()),
      expected_(shared->outputs.size()) {
  shared_->require_own();
  for (size_t i = 0; i < outputs_.size(); ++i) outputs_[i].expected = shared_->outputs[i].dims;
  sidecall_net_error error{};
  if (shared_->api.open_call(shared_->client, replica, &call_, &error) != SIDECALL_OK)
    throw_network_error(error);
}

NetworkContext::~NetworkContext() {
  // In a forked child, another thread of the parent may have held a lock of the call.
  if (shared_->generation == fork_generation()) shared_->api.close_call(call_);
}

// ---- Tensors ----

void NetworkContext::allocate_input(int32_t index, const Dims& dims) {
  Input& input = at(index);
  const int32_t dtype = shared_->inputs[static_cast<size_t>(index)].dtype;
  // Everything that can fail comes first. After a failure the old shape and memory still fit
  // together.
  Dims copy = dims;
  if (dtype == SIDECALL_DTYPE_STRING) {
    std::vector<std::string> strings(static_cast<size_t>(count_elements(dims)));
    input.strings.swap(strings);
  } else {
    input.buffer.reserve(count_bytes(dtype, dims));
    input.data = input.buffer.data();
  }
  input.dims.swap(copy);
}

void NetworkContext::set_string(int32_t input, int64_t element, std::string_view value) {
  at(input).strings[static_cast<size_t>(element)].assign(value);
}

void NetworkContext::borrow_input(int32_t index, const void* data, const Dims& dims) {
  Dims copy = dims;
  at(index).dims.swap(copy);
  at(index).data = data;
}

void* NetworkContext::shape_output(int32_t index, const Dims* dims, void* data) {
  Output& output = outputs_[static_cast<size_t>(index)];
  const int32_t dtype = shared_->outputs[static_cast<size_t>(index)].dtype;
  Dims expected = dims != nullptr ? *dims : shared_->outputs[static_cast<size_t>(index)].dims;
  const bool is_known = dims != nullptr && dtype != SIDECALL_DTYPE_STRING;
  if (is_known && data == nullptr) output.buffer.reserve(count_bytes(dtype, expected));
  output.expected.swap(expected);
  output.bound = data;
  if (!is_known) return nullptr;
  return data != nullptr ? data : output.buffer.data();
}

const int64_t* NetworkContext::shape_refusals(int64_t rows) {
  Output& output = outputs_.back();
  output.buffer.reserve(static_cast<uint64_t>(rows) * sizeof(int64_t));
  num_refusals_ = rows;
  output.expected.assign(output.expected.size(), 1);
  if (!output.expected.empty()) output.expected[0] = rows;
  return static_cast<const int64_t*>(output.buffer.data());
}

OutputTensor NetworkContext::output(int32_t index) {
  const Output& output = outputs_[static_cast<size_t>(index)];
  return {output.dims, output.data};
}

void NetworkContext::read_strings(int32_t index, std::string* bytes,
                                  std::vector<int64_t>* offsets) {
  const Output& output = outputs_[static_cast<size_t>(index)];
  *bytes = output.text;
  *offsets = output.offsets;
}

// ---- Runs ----

void NetworkContext::send(int64_t timeout_ns, bool waits_next) {
  shared_->require_own();
  deadline_ = deadline_after(timeout_ns < 0 ? kDefaultTimeoutNs : timeout_ns);
  for (size_t i = 0; i < inputs_.size(); ++i) {
    Input& input = inputs_[i];
    const TensorSpec& spec = shared_->inputs[i];
    sidecall_net_tensor& tensor = sent_[i];
    tensor = {spec.name.c_str(),
              spec.dtype,
              static_cast<int32_t>(input.dims.size()),
              input.dims.data(),
              input.data,
              0,
              nullptr};
    if (spec.dtype != SIDECALL_DTYPE_STRING) {
      tensor.bytes = count_bytes(spec.dtype, input.dims);
      continue;
    }
    input.text.clear();
    input.offsets.assign(1, 0);
    for (const std::string& text : input.strings) {
      input.text += text;
      input.offsets.push_back(static_cast<int64_t>(input.text.size()));
    }
    tensor.data = input.text.data();
    tensor.bytes = input.text.size();
    tensor.offsets = input.offsets.data();
  }
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const TensorSpec& spec = shared_->outputs[i];
    const Dims& dims = outputs_[i].expected;
    expected_[i] = {spec.name.c_str(),
                    spec.dtype,
                    static_cast<int32_t>(dims.size()),
                    dims.data(),
                    nullptr,
                    0,
                    nullptr};
  }
  sidecall_net_error error{};
  if (shared_->api.send(call_, sent_.data(), sent_.size(), expected_.data(), expected_.size(),
                        ns_of(deadline_), timeout_ns < 0 ? 0 : 1, shared_->is_repeatable ? 1 : 0,
                        waits_next ? 1 : 0, &error) != SIDECALL_OK)
    throw_network_error(error);
  if (should_stop_.load(std::memory_order_seq_cst)) shared_->api.cancel(call_);
  if (shared_->api.needs_check(shared_->client) != 0) shared_->verifier.start();
}

void NetworkContext::interrupt_engine() noexcept {
  if (shared_->generation != fork_generation()) return;  // a lock may be held for ever here
  should_stop_.store(true, std::memory_order_seq_cst);
  shared_->api.cancel(call_);
}

Outcome NetworkContext::execute(int64_t timeout_ns) {
  send(timeout_ns, true);
  const bool is_over = shared_->api.wait(call_, ns_of(deadline_)) != 0;
  if (!is_over) abandon();
  if (!is_over) return Outcome::kInterrupted;
  take();
  return Outcome::kDone;
}

Progress NetworkContext::begin(int64_t timeout_ns) {
  shared_->require_own();
  shared_->api.listen(
      call_, [](void* of) { static_cast<RunListener*>(of)->on_progress(); }, listener());
  send(timeout_ns, false);
  return progress_ = Progress::kPending;
}

void NetworkContext::stop_listening() noexcept {
  if (shared_->generation == fork_generation()) shared_->api.listen(call_, nullptr, nullptr);
}

Progress NetworkContext::look() {
  if (progress_ != Progress::kPending) return progress_;
  if (shared_->api.wait(call_, 0) != 0) {
    progress_ = Progress::kDone;
  } else if (should_stop_.load(std::memory_order_relaxed) || Clock::now() >= deadline_) {
    abandon();
    progress_ = Progress::kInterrupted;
  }
  return progress_;
}

// Ends a run whose answer is not awaited any more. It may have arrived meanwhile, and would then
// count in the limit of memory until the next run.
void NetworkContext::abandon() {
  shared_->api.cancel(call_);
  shared_->api.release(call_);
}

void NetworkContext::take() {
  // The outputs are copied below, so the answer itself is released: a call keeps only one of them.
  const auto release = [this](sidecall_net_call* call) { shared_->api.release(call); };
  const std::unique_ptr<sidecall_net_call, decltype(release)> guard(call_, release);
  sidecall_net_tensors answer{};
  sidecall_net_error error{};
  if (shared_->api.take(call_, &answer, &error) != SIDECALL_OK) throw_network_error(error);
  for (size_t i = 0; i < outputs_.size(); ++i) read(i, answer.items[i]);
  shared_->set_model_id(answer.model_id);
}

// Checks one output of an answer, and copies it.
void NetworkContext::read(size_t index, const sidecall_net_tensor& tensor) {
  Output& output = outputs_[index];
  const TensorSpec& spec = shared_->outputs[index];
  const bool is_refusals = has_refusals_ && index + 1 == outputs_.size();
  Dims dims(tensor.dims, tensor.dims + tensor.rank);
  const bool has_shape =
      is_refusals ? count_elements(dims) == num_refusals_ : fits(dims, output.expected);
  if (tensor.dtype != spec.dtype || !has_shape)
    throw Error("output",
                {tensor.dtype != spec.dtype ? SIDECALL_DTYPE_MISMATCH : SIDECALL_SHAPE_MISMATCH, -1,
                 spec.name, describe_tensor(spec.dtype, output.expected),
                 describe_tensor(tensor.dtype, dims)});
  const auto* const from = static_cast<const char*>(tensor.data);
  if (spec.dtype == SIDECALL_DTYPE_STRING) {
    output.text.assign(from, tensor.bytes);
    output.offsets.assign(tensor.offsets, tensor.offsets + count_elements(dims) + 1);
    output.data = nullptr;
  } else {
    if (output.bound == nullptr) output.buffer.reserve(tensor.bytes);
    output.data = output.bound != nullptr ? output.bound : output.buffer.data();
    if (spec.dtype == SIDECALL_DTYPE_BOOL) {
      std::transform(from, from + tensor.bytes, static_cast<char*>(output.data),
                     [](char value) { return static_cast<char>(value != 0 ? 1 : 0); });
    } else if (tensor.bytes > 0) {
      std::memcpy(output.data, from, tensor.bytes);
    }
  }
  output.dims.swap(dims);
}

}  // namespace sidecall
