// The exported interface; see net/api/net.h.
#include "net/api/net.h"

#include <sidecall/sidecall.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "client.h"
#include "loop.h"
#include "net/common/api_guard.h"

using sidecall::net::api_guard;
using sidecall::net::Client;
using sidecall::net::Clock;
using sidecall::net::Exchange;
using sidecall::net::Expected;
using sidecall::net::InferAnswer;
using sidecall::net::Metadata;
using sidecall::net::ReceivedTensor;

struct sidecall_net_client {
  std::unique_ptr<Client> client;
  // What the last describe returned points into these.
  Metadata metadata;
  std::vector<sidecall_net_tensor> inputs, outputs;
};

struct sidecall_net_call {
  const Client* client;
  Expected expected;  // of the present run
  InferAnswer answer;
  std::vector<sidecall_net_tensor> outputs;
  int fd = -1;
  // cancel() reads the exchange from another thread. The owner takes the lock only to replace it.
  std::mutex lock;
  std::shared_ptr<Exchange> exchange;
};

namespace {

Clock::time_point time_of(int64_t ns) { return Clock::time_point(std::chrono::nanoseconds(ns)); }

// Of a run; unique in this process.
std::string next_id() {
  static std::atomic<uint64_t> last{0};
  return std::to_string(last.fetch_add(1, std::memory_order_relaxed) + 1);
}

int32_t open_client(const char* uri, sidecall_net_client** out, sidecall_net_error* err) {
  return api_guard(err, [&] {
    auto client = std::make_unique<sidecall_net_client>();
    client->client = sidecall::net::make_client(uri);
    *out = client.release();
  });
}

void close_client(sidecall_net_client* client) { delete client; }

const char* model_of(const sidecall_net_client* client) {
  return client->client->address().model.c_str();
}

const char* contract_path_of(const sidecall_net_client* client) {
  const std::string& path = client->client->address().contract;
  return path.empty() ? nullptr : path.c_str();
}

sidecall_net_tensors tensors_of(const std::vector<sidecall::TensorSpec>& specs,
                                const std::string& model_id,
                                std::vector<sidecall_net_tensor>* tensors) {
  tensors->clear();
  for (const sidecall::TensorSpec& spec : specs)
    tensors->push_back({spec.name.c_str(), spec.dtype, static_cast<int32_t>(spec.dims.size()),
                        spec.dims.data(), nullptr, 0, nullptr});
  return {tensors->data(), tensors->size(), model_id.c_str()};
}

int32_t describe(sidecall_net_client* client, int64_t deadline, sidecall_net_metadata* out,
                 sidecall_net_error* err) {
  return api_guard(err, [&] {
    client->metadata = client->client->describe(time_of(deadline));
    const Metadata& metadata = client->metadata;
    out->inputs = tensors_of(metadata.inputs, metadata.model_id, &client->inputs);
    out->outputs = tensors_of(metadata.outputs, metadata.model_id, &client->outputs);
    out->contract = metadata.contract.empty() ? nullptr : metadata.contract.c_str();
  });
}

int32_t open_call(sidecall_net_client* client, sidecall_net_call** out, sidecall_net_error* err) {
  return api_guard(err, [&] {
    auto call = std::make_unique<sidecall_net_call>();
    call->client = client->client.get();
    *out = call.release();
  });
}

void cancel(sidecall_net_call* call) {
  std::shared_ptr<Exchange> exchange;
  {
    const std::lock_guard lock(call->lock);
    exchange = call->exchange;
  }
  if (exchange == nullptr) return;
  exchange->wake();
  sidecall::net::cancel(std::move(exchange));
}

void close_call(sidecall_net_call* call) {
  if (call->exchange != nullptr) {
    call->exchange->notify(-1);  // the caller closes the descriptor next
    cancel(call);
  }
  delete call;
}

int32_t send(sidecall_net_call* call, const sidecall_net_tensor* inputs, size_t num_inputs,
             const char* const* outputs, size_t num_outputs, int64_t deadline, int32_t may_repeat,
             sidecall_net_error* err) {
  return api_guard(err, [&] {
    call->expected.outputs.assign(outputs, outputs + num_outputs);
    call->expected.id = next_id();
    std::shared_ptr<Exchange> exchange =
        call->client->make_run({inputs, num_inputs, call->expected}, time_of(deadline));
    exchange->may_repeat = may_repeat != 0;
    if (call->fd >= 0) exchange->notify(call->fd);
    std::shared_ptr<Exchange> old;
    {
      const std::lock_guard lock(call->lock);
      old = std::move(call->exchange);
      call->exchange = exchange;
    }
    if (old != nullptr) old->notify(-1);
    sidecall::net::submit(std::move(exchange));
  });
}

int32_t wait(sidecall_net_call* call, int64_t until) {
  return call->exchange->wait(time_of(until)) ? 1 : 0;
}

int32_t take(sidecall_net_call* call, sidecall_net_tensors* out, sidecall_net_error* err) {
  return api_guard(err, [&] {
    call->answer = call->client->read_run(call->expected, call->exchange->reply());
    call->outputs.clear();
    for (const ReceivedTensor& tensor : call->answer.outputs)
      call->outputs.push_back({tensor.name.c_str(), tensor.dtype,
                               static_cast<int32_t>(tensor.dims.size()), tensor.dims.data(),
                               tensor.data, tensor.bytes,
                               tensor.offsets.empty() ? nullptr : tensor.offsets.data()});
    *out = {call->outputs.data(), call->outputs.size(), call->answer.model_id.c_str()};
  });
}

void notify(sidecall_net_call* call, int fd, int32_t also_now) {
  call->fd = fd;
  if (also_now != 0 && call->exchange != nullptr) call->exchange->notify(fd);
}

}  // namespace

const sidecall_net_api* sidecall_net(void) {
  static const sidecall_net_api api = {SIDECALL_NET_VERSION,
                                       open_client,
                                       close_client,
                                       model_of,
                                       contract_path_of,
                                       describe,
                                       open_call,
                                       close_call,
                                       send,
                                       wait,
                                       take,
                                       cancel,
                                       notify};
  return &api;
}
