// Describes the model to the network server, and answers what the C ABI does not; see network.h.
#include "network.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include <new>
#include <string_view>
#include <utility>

#include "base/dtype.h"
#include "base/process/fork_generation.h"
#include "base/process/per_process.h"
#include "base/process/process_end.h"
#include "core/abi/guard.h"
#include "core/abi/texts.h"
#include "core/call/records.h"
#include "core/clock.h"
#include "core/queue/jobs.h"
#include "engines/oip/library.h"

namespace sidecall {

namespace {

constexpr sidecall_functions kFunctions{
    &sidecall_model_take_call, &sidecall_model_give_call, &sidecall_model_id,
    &sidecall_call_close,      &sidecall_call_copy_input, &sidecall_call_expected_ns,
    &sidecall_call_run,        &sidecall_call_cancel,     &sidecall_call_error,
    &sidecall_call_output,     &sidecall_queue_open,      &sidecall_queue_handle,
    &sidecall_queue_submit,    &sidecall_queue_take,      &sidecall_queue_arm,
    &sidecall_queue_close,     &sidecall_status_name,     &sidecall_text_close};

// All servers that are open in this process. Those of a parent process have no threads here, and
// their mutexes may be locked for ever, so a forked child does not know them.
struct OpenServers {
  explicit OpenServers(uint64_t created_in) : generation(created_in) {}
  const uint64_t generation;
  std::mutex mutex;  // guards the list
  std::vector<const NetworkServer*> list;
};

int32_t end_of_process(sidecall_error* err) {
  return guard(err, [] {
    if (is_process_ending()) throw Error(SIDECALL_PEER_DIED, kProcessEnds);
  });
}

int32_t set_records(sidecall_call* call, const char* json, size_t bytes, int32_t* out_is_list,
                    sidecall_error* err) {
  return guard(err, [&] {
    RecordReader reader;
    *out_is_list = call->model->read_records({json, bytes}, &reader, &call->call) ? 1 : 0;
  });
}

int32_t records_of(sidecall_call* call, int32_t is_list, sidecall_text** out, sidecall_error* err) {
  return guard(err, [&] {
    std::string json;
    write_records(&call->call, is_list != 0, &json);
    *out = make_text(std::move(json));
  });
}

std::vector<sidecall_net_tensor> tensors_of(const std::vector<TensorSpec>& specs) {
  std::vector<sidecall_net_tensor> tensors;
  for (const TensorSpec& spec : specs)
    tensors.push_back({spec.name.c_str(), spec.dtype, static_cast<int32_t>(spec.dims.size()),
                       spec.dims.data(), nullptr, 0, nullptr});
  return tensors;
}

}  // namespace

// The functions of the service that need the server.
struct NetworkService {
  static const NetworkServer& of(void* context) { return *static_cast<NetworkServer*>(context); }

  static int32_t is_ready(void* context) {
    const Execution& execution = of(context).execution_;
    try {
      return !execution.is_ready || execution.is_ready() ? 1 : 0;
    } catch (const std::exception&) {
      return 0;
    }
  }

  static int64_t num_hung(void* context) {
    const Execution& execution = of(context).execution_;
    return execution.num_hung ? execution.num_hung() : -1;
  }

  static void log(void* context, int32_t level, const char* event, const char* facts) {
    try {
      const std::string object = "{" + std::string(facts) + "}";
      of(context).log_->add(static_cast<shm::LogLevel>(level), event, object);
    } catch (const std::exception&) {
      // Without memory the event is lost.
    }
  }

  static int32_t missing_number(void* context, int32_t input, int64_t element, int64_t* out_number,
                                sidecall_error* err) {
    return guard(err, [&] {
      const Signature& signature = of(context).model_.model->signature();
      const auto index = static_cast<size_t>(input);
      const std::vector<int32_t>& features = signature.checks[index].feature_at;
      if (features.empty())
        throw Error(SIDECALL_MISSING_VALUE,
                    "input '" + signature.inputs[index].name +
                        "': null stands for a missing value, and no contract says how the model "
                        "takes one");
      const auto width = static_cast<int64_t>(features.size());
      const auto& feature =
          signature.features[static_cast<size_t>(features[static_cast<size_t>(element % width)])];
      if (!feature.nullable)
        throw Error("feature", {SIDECALL_MISSING_VALUE, element / width, feature.name,
                                dtype_name(feature.dtype), "a missing value"});
      *out_number = feature.missing_int;
    });
  }
};

NetworkServer::NetworkServer(const char* at, std::shared_ptr<const Model> model,
                             Execution execution, const sidecall_server_options& options,
                             std::shared_ptr<ServerLog> log)
    : api_(net_serving_library()),
      model_(std::move(model), !execution.is_local),
      log_(std::move(log)),
      title_(model_.model->title()),
      inputs_(tensors_of(model_.model->signature().inputs)),
      outputs_(tensors_of(model_.model->signature().outputs)),
      execution_(std::move(execution)),
      generation_(fork_generation()) {
  constexpr int32_t kDefaultConnections = 1024, kDefaultPerClient = 512;
  constexpr int64_t kSecond = INT64_C(1000000000);
  constexpr int64_t kDefaultTimeoutNs = 30 * kSecond, kDefaultUnreadyNs = 5 * kSecond;
  constexpr uint64_t kMebibyte = UINT64_C(1) << 20;
  constexpr uint64_t kDefaultBytes = 256 * kMebibyte, kDefaultMemory = 4096 * kMebibyte;
  const auto or_default = [](auto value, auto otherwise) { return value == 0 ? otherwise : value; };
  const sidecall_net_service service = describe();
  const sidecall_net_server_options limits = {
      std::max(options.num_threads, 1),
      or_default(options.max_connections, kDefaultConnections),
      or_default(options.max_connections_per_user, kDefaultPerClient),
      or_default(options.max_request_bytes, kDefaultBytes),
      or_default(options.max_response_bytes, kDefaultBytes),
      or_default(options.max_memory_bytes, kDefaultMemory),
      options.start_later,
      or_default(options.timeout_ns, kDefaultTimeoutNs),
      or_default(options.unready_after_ns, kDefaultUnreadyNs)};
  sidecall_net_error error{};
  if (api_.open(at, &service, &limits, &server_, &error) != SIDECALL_OK) {
    log_->silence();
    throw Error(error.status, error.message);
  }
  try {
    auto& servers = per_process<OpenServers>();
    const std::lock_guard lock(servers.mutex);
    servers.list.push_back(this);
  } catch (...) {
    api_.close(server_);
    throw;
  }
}

// A forked child does not have the threads that `close` would wait for, so it leaks the server.
NetworkServer::~NetworkServer() {
  if (generation_ != fork_generation()) return;
  {
    auto& servers = per_process<OpenServers>();
    const std::lock_guard lock(servers.mutex);
    servers.list.erase(std::remove(servers.list.begin(), servers.list.end(), this),
                       servers.list.end());
  }
  api_.close(server_);
}

sidecall_net_service NetworkServer::describe() {
  const Contract* const contract = model_.model->contract();
  sidecall_net_service service{};
  service.library = &kFunctions;
  service.model = &model_;
  service.name = title_.c_str();
  service.version = contract == nullptr ? nullptr : contract->version.c_str();
  service.contract = contract == nullptr ? nullptr : contract->text.c_str();
  service.inputs = inputs_.data();
  service.num_inputs = inputs_.size();
  service.outputs = outputs_.data();
  service.num_outputs = outputs_.size();
  service.has_records = contract == nullptr ? 0 : 1;
  service.logs_requests = log_->takes(shm::LogLevel::kDebug) ? 1 : 0;
  service.is_verified = model_.model->is_verified() ? 1 : 0;
  service.is_local = execution_.is_local ? 1 : 0;
  service.num_threads = num_job_threads();
  service.is_repeatable = execution_.is_repeatable ? 1 : 0;
  service.context = this;
  service.is_ready = &NetworkService::is_ready;
  service.num_hung = &NetworkService::num_hung;
  service.log = &NetworkService::log;
  service.end_of_process = &end_of_process;
  service.missing_number = &NetworkService::missing_number;
  service.set_records = &set_records;
  service.records_of = &records_of;
  return service;
}

std::string NetworkServer::status() const {
  const std::unique_ptr<char, void (*)(void*)> text(api_.status(server_), &std::free);
  if (text == nullptr) throw std::bad_alloc();
  return text.get();
}

void NetworkServer::start() {
  sidecall_net_error error{};
  if (api_.start(server_, &error) != SIDECALL_OK) throw Error(error.status, error.message);
}

bool NetworkServer::drain(int64_t timeout_ns) {
  const Clock::time_point deadline =
      timeout_ns < 0 ? Clock::time_point::max() : deadline_after(timeout_ns);
  return api_.drain(server_, std::chrono::duration_cast<std::chrono::nanoseconds>(
                                 deadline.time_since_epoch())
                                 .count()) != 0;
}

int NetworkServer::ended_fd() const noexcept { return api_.ended_fd(server_); }

std::string network_status() {
  auto& servers = per_process<OpenServers>();
  const std::lock_guard lock(servers.mutex);
  std::string list;
  for (const NetworkServer* const server : servers.list)
    list += (list.empty() ? "" : ",") + server->status();
  return list.empty() ? "" : ",\"network\":[" + list + "]";
}

}  // namespace sidecall
