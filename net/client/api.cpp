// The exported interface; see net/api/net.h.
#include "net/api/net.h"

#include <curl/curl.h>
#include <llhttp.h>
#include <mbedtls/version.h>
#include <nghttp2/nghttp2.h>
#include <sidecall/sidecall.h>

#include <atomic>
#include <iterator>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "client.h"
#include "net/client/messages/answer_limits.h"
#include "net/client/transfer/connection_options.h"
#include "net/client/transfer/loop.h"
#include "net/common/api_guard.h"

using sidecall::net::api_guard;
using sidecall::net::Client;
using sidecall::net::Clock;
using sidecall::net::Error;
using sidecall::net::Exchange;
using sidecall::net::Expected;
using sidecall::net::InferAnswer;
using sidecall::net::Metadata;
using sidecall::net::ReceivedTensor;
using sidecall::net::ReplicaPtr;

struct sidecall_net_client {
  std::unique_ptr<Client> client;
  std::vector<sidecall_net_tensor> inputs, outputs;  // of the metadata
};

struct sidecall_net_replica {
  sidecall_net_client* client;
  ReplicaPtr replica;
};

struct sidecall_net_call {
  const Client* client;
  ReplicaPtr only;    // the server of all runs, or nullptr
  Expected expected;  // of the present run
  // Of a run that is over, once `is_read`: its answer, or its error.
  bool is_read = false;
  InferAnswer answer;
  std::exception_ptr failure;
  std::vector<sidecall_net_tensor> outputs;
  int fd = -1;
  void (*on_event)(void*) = nullptr;
  void* context = nullptr;
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
    const Metadata& metadata = client->client->describe(time_of(deadline));
    out->inputs = tensors_of(metadata.inputs, metadata.model_id, &client->inputs);
    out->outputs = tensors_of(metadata.outputs, metadata.model_id, &client->outputs);
    out->contract = metadata.contract.empty() ? nullptr : metadata.contract.c_str();
    out->repeatable = metadata.repeatable.c_str();
  });
}

int32_t probe(sidecall_net_client* client, int64_t deadline,
              void (*on_step)(void* context, const char* server, const char* step, int32_t status,
                              const char* text),
              void* context, sidecall_net_error* err) {
  return api_guard(err, [&] {
    client->client->probe(time_of(deadline), [&](const Client::Step& step) {
      on_step(context, step.server.c_str(), step.name, step.status, step.text.c_str());
    });
  });
}

// ---- The library ----

#define TEXT_OF(number) #number
#define DOTTED(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

int32_t library(int32_t index, const char** out_name, const char** out_version) {
  static char mbedtls[16] = "";
  static std::once_flag once;
  std::call_once(once, [] { mbedtls_version_get_string(mbedtls); });
  const std::pair<const char*, const char*> libraries[] = {
      {"libcurl", curl_version_info(CURLVERSION_NOW)->version},
      {"nghttp2", nghttp2_version(0)->version_str},
      {"Mbed TLS", mbedtls},
      {"llhttp", DOTTED(LLHTTP_VERSION_MAJOR, LLHTTP_VERSION_MINOR, LLHTTP_VERSION_PATCH)},
  };
  if (index < 0 || index >= static_cast<int32_t>(std::size(libraries))) return 0;
  *out_name = libraries[index].first;
  *out_version = libraries[index].second;
  return 1;
}

const char* default_ca() { return sidecall::net::default_ca().c_str(); }

// ---- Servers ----

int32_t next_replica(sidecall_net_client* client, sidecall_net_replica** out,
                     sidecall_net_error* err) {
  return api_guard(err, [&] {
    auto handle = std::make_unique<sidecall_net_replica>();
    handle->client = client;
    handle->replica = client->client->replicas().next_described();
    *out = handle->replica != nullptr ? handle.release() : nullptr;
  });
}

const char* replica_label(const sidecall_net_replica* replica) {
  return replica->replica->label.c_str();
}

int32_t num_replicas(const sidecall_net_client* client) {
  return static_cast<int32_t>(client->client->replicas().size());
}

void close_replica(sidecall_net_replica* replica, int32_t is_verified) {
  replica->client->client->replicas().end_verification(replica->replica, is_verified != 0);
  delete replica;
}

int32_t needs_check(const sidecall_net_client* client) {
  return client->client->replicas().needs_check() ? 1 : 0;
}

int64_t check(sidecall_net_client* client, int64_t deadline) {
  try {
    client->client->describe_again(time_of(deadline));
  } catch (const std::exception&) {
    // Without memory the servers are described later.
  }
  const Clock::time_point next = client->client->replicas().next_check();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(next.time_since_epoch()).count();
}

// ---- Runs ----

int32_t open_call(sidecall_net_client* client, const sidecall_net_replica* replica,
                  sidecall_net_call** out, sidecall_net_error* err) {
  return api_guard(err, [&] {
    auto call = std::make_unique<sidecall_net_call>();
    call->client = client->client.get();
    if (replica != nullptr) call->only = replica->replica;
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
    call->exchange->listen(nullptr, nullptr);
    cancel(call);
  }
  delete call;
}

int32_t send(sidecall_net_call* call, const sidecall_net_tensor* inputs, size_t num_inputs,
             const sidecall_net_tensor* outputs, size_t num_outputs, int64_t deadline,
             int32_t tells_deadline, int32_t may_repeat, int32_t waits_next,
             sidecall_net_error* err) {
  return api_guard(err, [&] {
    call->expected.outputs.resize(num_outputs);
    for (size_t i = 0; i < num_outputs; ++i) call->expected.outputs[i] = outputs[i].name;
    call->expected.id = next_id();
    std::shared_ptr<Exchange> exchange = call->client->make_run(
        {inputs, num_inputs, sidecall::net::max_answer_bytes(outputs, num_outputs), call->expected},
        time_of(deadline));
    if (tells_deadline == 0) exchange->timeout_header = nullptr;
    exchange->may_repeat = may_repeat != 0;
    exchange->only = call->only;
    call->is_read = false;
    if (call->fd >= 0) exchange->notify(call->fd);
    if (call->on_event != nullptr) exchange->listen(call->on_event, call->context);
    std::shared_ptr<Exchange> old;
    {
      const std::lock_guard lock(call->lock);
      old = std::move(call->exchange);
      call->exchange = exchange;
    }
    if (old != nullptr) {
      old->notify(-1);
      old->listen(nullptr, nullptr);
    }
    if (waits_next != 0) sidecall::net::submit_and_drive(std::move(exchange));
    else sidecall::net::submit(std::move(exchange));
  });
}

// Reads the answer of a run that is over. Returns false if it comes from another model and the run
// was sent to another server.
bool read_answer(sidecall_net_call* call) {
  const std::shared_ptr<Exchange>& exchange = call->exchange;
  call->failure = nullptr;
  try {
    call->answer = call->client->read_run(call->expected, exchange->reply());
    sidecall::net::Replicas& replicas = call->client->replicas();
    if (!replicas.is_opened_model(call->answer.model_id)) {
      replicas.set_other_model(exchange->answered_by);
      // Only files have an id, so the run had no effect and may be sent again.
      if (exchange->only != nullptr) call->client->fail_with_other_model();
      exchange->tried.push_back(exchange->answered_by);
      if (exchange->restart()) {
        sidecall::net::submit(exchange);
        return false;
      }
      call->client->fail_with_other_model();  // it was cancelled, so this is not read
    }
  } catch (const Error& error) {
    call->failure = std::current_exception();
    // A server that was started again with another model may not understand the run.
    if (exchange->only == nullptr && exchange->answered_by != nullptr &&
        (error.status() == SIDECALL_PROTOCOL || error.status() == SIDECALL_ENGINE ||
         error.status() == SIDECALL_UNREACHABLE))
      call->client->replicas().suspect(exchange->answered_by);
  } catch (...) {
    call->failure = std::current_exception();
  }
  call->is_read = true;
  return true;
}

int32_t wait(sidecall_net_call* call, int64_t until) {
  try {
    while (!call->is_read) {
      if (!sidecall::net::wait(call->exchange.get(), time_of(until))) return 0;
      read_answer(call);
    }
  } catch (const std::exception&) {
    return 0;  // no memory is left, so the caller ends the run
  }
  return 1;
}

int32_t take(sidecall_net_call* call, sidecall_net_tensors* out, sidecall_net_error* err) {
  return api_guard(err, [&] {
    if (call->failure != nullptr) std::rethrow_exception(call->failure);
    call->outputs.clear();
    for (const ReceivedTensor& tensor : call->answer.outputs)
      call->outputs.push_back({tensor.name.c_str(), tensor.dtype,
                               static_cast<int32_t>(tensor.dims.size()), tensor.dims.data(),
                               tensor.data, tensor.bytes,
                               tensor.offsets.empty() ? nullptr : tensor.offsets.data()});
    *out = {call->outputs.data(), call->outputs.size(), call->answer.model_id.c_str()};
  });
}

void release(sidecall_net_call* call) {
  call->outputs.clear();
  call->answer = {};
  call->failure = nullptr;
  if (call->exchange != nullptr) call->exchange->discard();
}

void notify(sidecall_net_call* call, int fd, int32_t also_now) {
  call->fd = fd;
  if (also_now != 0 && call->exchange != nullptr) call->exchange->notify(fd);
}

void listen(sidecall_net_call* call, void (*on_event)(void*), void* context) {
  call->on_event = on_event;
  call->context = context;
  if (on_event == nullptr && call->exchange != nullptr) call->exchange->listen(nullptr, nullptr);
}

}  // namespace

const sidecall_net_api* sidecall_net(void) {
  static const sidecall_net_api api = {SIDECALL_NET_VERSION,
                                       SIDECALL_NET_INTERFACE,
                                       library,
                                       default_ca,
                                       open_client,
                                       close_client,
                                       model_of,
                                       contract_path_of,
                                       describe,
                                       probe,
                                       next_replica,
                                       replica_label,
                                       num_replicas,
                                       close_replica,
                                       needs_check,
                                       check,
                                       open_call,
                                       close_call,
                                       send,
                                       wait,
                                       take,
                                       release,
                                       cancel,
                                       notify,
                                       listen};
  return &api;
}
