// Answers requests of the network server with calls of core; see network.h.
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
#include "base/json/fault_json.h"
#include "base/process/fork_generation.h"
#include "base/process/per_process.h"
#include "base/process/process_end.h"
#include "base/text/utf8.h"
#include "core/call/call.h"
#include "core/call/records.h"
#include "core/clock.h"
#include "core/queue/jobs.h"
#include "core/queue/queue.h"
#include "engines/oip/library.h"

namespace sidecall {

// The functions of the service, which the threads of the server call.
struct NetworkService {
  static NetworkServer& of(void* context) { return *static_cast<NetworkServer*>(context); }

  static const char* model_id(void* context) { return of(context).model_->id().c_str(); }

  static int32_t is_ready(void* context) {
    const NetworkServer& server = of(context);
    try {
      return !server.execution_.is_ready || server.execution_.is_ready() ? 1 : 0;
    } catch (const std::exception&) {
      return 0;
    }
  }

  static int64_t num_hung(void* context) {
    const NetworkServer& server = of(context);
    return server.execution_.num_hung ? server.execution_.num_hung() : -1;
  }

  static int32_t open_call(void* context, size_t max_fault_bytes, sidecall_service_call** out,
                           sidecall_net_error* err);
  static void log(void* context, int32_t level, const char* event, const char* facts) {
    try {
      const std::string object = "{" + std::string(facts) + "}";
      of(context).log_->add(static_cast<shm::LogLevel>(level), event, object);
    } catch (const std::exception&) {
      // Without memory the event is lost.
    }
  }
};

}  // namespace sidecall

using sidecall::Call;
using sidecall::Error;
using sidecall::Fault;
using sidecall::Model;

struct sidecall_service_call {
  sidecall_service_call(std::shared_ptr<const Model> given, bool lends_connection,
                        size_t max_faults)
      : model(std::move(given)),
        max_fault_bytes(max_faults),
        call(model->signature(), model->engine(), model->ignores_extra(), 1, lends_connection) {}

  const std::shared_ptr<const Model> model;
  const size_t max_fault_bytes;
  Call call;
  sidecall::QueuedRun run{&call, nullptr};
  sidecall::RecordReader reader;
  bool is_list = false;  // the records are a list
  std::string answer;
  std::vector<sidecall_net_tensor> outputs;
  std::string faults;
};

struct sidecall_service_queue {
  std::shared_ptr<sidecall::Queue> queue;
};

namespace sidecall {
namespace {

// All servers that are open in this process. Those of a parent process have no threads here, and
// their mutexes may be locked for ever, so a forked child does not know them.
struct OpenServers {
  explicit OpenServers(uint64_t created_in) : generation(created_in) {}
  const uint64_t generation;
  std::mutex mutex;  // guards the list
  std::vector<const NetworkServer*> list;
};

void set_error(sidecall_net_error* err, int32_t status, const char* text) noexcept {
  err->status = status;
  const size_t length = cut_length(std::string_view(text), sizeof err->message - 1);
  std::memcpy(err->message, text, length);
  err->message[length] = '\0';
}

// The faults of an error as members of a JSON object, as many as fit.
std::string faults_text(const Error& error, size_t max_bytes) {
  if (error.faults().empty()) return "";
  std::string text = "\"num_faults\":" + std::to_string(error.num_faults()) + ",\"faults\":[";
  for (const Fault& fault : error.faults()) {
    const size_t before = text.size();
    if (text.back() != '[') text.push_back(',');
    append_fault(
        {fault.row, status_name(fault.status), fault.what, fault.name, fault.expected, fault.got},
        &text);
    if (text.size() >= max_bytes) {
      text.resize(before);
      break;
    }
  }
  return text + "]";
}

// Turns every exception into a status. `call` may be nullptr.
template <typename Body>
int32_t guard(sidecall_service_call* call, sidecall_net_error* err, Body body) noexcept {
  err->status = SIDECALL_OK;
  try {
    if (call != nullptr) call->faults.clear();
    body();
  } catch (const Error& error) {
    try {
      if (call != nullptr) call->faults = faults_text(error, call->max_fault_bytes);
    } catch (const std::bad_alloc&) {
      call->faults.clear();
    }
    set_error(err, error.status(), error.what());
  } catch (const std::bad_alloc&) {
    set_error(err, SIDECALL_OUT_OF_MEMORY, "out of memory");
  } catch (const std::exception& error) {
    set_error(err, SIDECALL_INTERNAL, error.what());
  }
  if (is_process_ending()) {
    if (call != nullptr) call->faults.clear();
    set_error(err, SIDECALL_PEER_DIED, kProcessEnds);
  }
  return err->status;
}

void close_call(sidecall_service_call* call) {
  call->run.detach();
  const auto dispose = [](void* left) { delete static_cast<sidecall_service_call*>(left); };
  if (!call->call.leave_to_worker(dispose, call)) delete call;
}

size_t input_index(const Signature& signature, const char* name) {
  const int32_t index = signature.input_names.find(name);
  if (index < 0)
    throw Error("input",
                {SIDECALL_UNKNOWN_NAME, -1, name, "an input of the model", "another name"});
  return static_cast<size_t>(index);
}

int32_t set_tensors(sidecall_service_call* call, const sidecall_net_tensor* inputs, size_t count,
                    sidecall_net_error* err) {
  return guard(call, err, [&] {
    call->call.reset();
    for (size_t i = 0; i < count; ++i) {
      const size_t index = input_index(call->model->signature(), inputs[i].name);
      sidecall_view view = SIDECALL_VIEW_INIT;
      view.dtype = inputs[i].dtype;
      view.rank = inputs[i].rank;
      view.dims = inputs[i].dims;
      view.data = const_cast<void*>(inputs[i].data);  // only read, although a view is writable
      view.data_bytes = inputs[i].bytes;
      view.offsets = inputs[i].offsets;
      call->call.give_input(static_cast<int32_t>(index), view, false);
    }
  });
}

int32_t missing_at(sidecall_service_call* call, const char* input, int64_t element,
                   int64_t* out_number, sidecall_net_error* err) {
  return guard(call, err, [&] {
    const Signature& signature = call->model->signature();
    const size_t index = input_index(signature, input);
    const std::vector<int32_t>& features = signature.checks[index].feature_at;
    if (features.empty())
      throw Error(SIDECALL_MISSING_VALUE, std::string("input '") + input +
                                              "': null stands for a missing value, and no contract "
                                              "says how the model takes one");
    const auto width = static_cast<int64_t>(features.size());
    const auto& feature =
        signature.features[static_cast<size_t>(features[static_cast<size_t>(element % width)])];
    if (!feature.nullable)
      throw Error("feature", {SIDECALL_MISSING_VALUE, element / width, feature.name,
                              dtype_name(feature.dtype), "a missing value"});
    *out_number = feature.missing_int;
  });
}

int32_t set_records(sidecall_service_call* call, const char* json, size_t bytes,
                    sidecall_net_error* err) {
  return guard(call, err, [&] {
    const std::string_view text(json, bytes);
    call->is_list = call->model->read_records(text, &call->reader, &call->call);
  });
}

int32_t run(sidecall_service_call* call, int64_t timeout_ns, sidecall_net_error* err) {
  return guard(call, err, [&] { call->call.run(timeout_ns); });
}

void cancel(sidecall_service_call* call) {
  if (!call->run.cancel()) call->call.cancel();
}

int32_t outcome_of(sidecall_service_call* call, sidecall_net_error* err) {
  return guard(call, err, [&] { call->run.rethrow_outcome(); });
}

int32_t open_queue(void* /*context*/, sidecall_service_queue** out, sidecall_net_error* err) {
  return guard(nullptr, err, [&] {
    QueueOptions options;
    options.max_started = options.capacity;  // the server limits the runs of a thread
    *out = new sidecall_service_queue{std::make_shared<Queue>(options)};
  });
}

void close_queue(sidecall_service_queue* queue) {
  queue->queue->close();
  delete queue;
}

int32_t handle_of(sidecall_service_queue* queue) {
  try {
    return queue->queue->handle();
  } catch (const std::exception&) {
    return -1;
  }
}

int32_t submit(sidecall_service_queue* queue, sidecall_service_call* call, int64_t timeout_ns,
               void* tag, sidecall_net_error* err) {
  return guard(call, err, [&] {
    queue->queue->submit(&call->run, call->model.get(), timeout_ns,
                         reinterpret_cast<uintptr_t>(tag));
  });
}

size_t take(sidecall_service_queue* queue, void** tags, size_t capacity) {
  const auto put = [](void* into, int64_t index, const Completion& completion) {
    static_cast<void**>(into)[index] = reinterpret_cast<void*>(completion.tag);
  };
  try {
    return static_cast<size_t>(queue->queue->take(0, static_cast<int64_t>(capacity), 0, put, tags));
  } catch (const std::exception&) {
    return 0;
  }
}

int32_t arm(sidecall_service_queue* queue) {
  try {
    return queue->queue->arm() < 0 ? -1 : 0;
  } catch (const std::exception&) {
    return 1;  // no descriptor is left
  }
}

int32_t outputs_of(sidecall_service_call* call, sidecall_net_tensors* out,
                   sidecall_net_error* err) {
  return guard(call, err, [&] {
    const std::vector<TensorSpec>& specs = call->model->signature().outputs;
    call->outputs.clear();
    for (size_t i = 0; i < specs.size(); ++i) {
      sidecall_view view = SIDECALL_VIEW_INIT;
      call->call.view_output(static_cast<int32_t>(i), &view);
      call->outputs.push_back({specs[i].name.c_str(), view.dtype, view.rank, view.dims, view.data,
                               view.data_bytes, view.offsets});
    }
    *out = {call->outputs.data(), call->outputs.size(), ""};
  });
}

int32_t records_of(sidecall_service_call* call, const char** out_json, size_t* out_bytes,
                   sidecall_net_error* err) {
  return guard(call, err, [&] {
    call->answer.clear();
    write_records(&call->call, call->is_list, &call->answer);
    *out_json = call->answer.data();
    *out_bytes = call->answer.size();
  });
}

// A run in another process needs a connection. Each run takes the one that leads to the least busy
// process, so the calls do not keep theirs.
int32_t make_idle(sidecall_service_call* call) {
  if (call->run.is_submitted()) return 0;
  call->call.lend_connection();
  return 1;
}

const char* faults_of(sidecall_service_call* call) { return call->faults.c_str(); }

std::vector<sidecall_net_tensor> tensors_of(const std::vector<TensorSpec>& specs) {
  std::vector<sidecall_net_tensor> tensors;
  for (const TensorSpec& spec : specs)
    tensors.push_back({spec.name.c_str(), spec.dtype, static_cast<int32_t>(spec.dims.size()),
                       spec.dims.data(), nullptr, 0, nullptr});
  return tensors;
}

}  // namespace

int32_t NetworkService::open_call(void* context, size_t max_fault_bytes,
                                  sidecall_service_call** out, sidecall_net_error* err) {
  return guard(nullptr, err, [&] {
    const NetworkServer& server = of(context);
    *out = new sidecall_service_call(server.model_, !server.execution_.is_local, max_fault_bytes);
  });
}

NetworkServer::NetworkServer(const char* at, std::shared_ptr<const Model> model,
                             Execution execution, const sidecall_server_options& options,
                             std::shared_ptr<ServerLog> log)
    : api_(net_serving_library()),
      model_(std::move(model)),
      log_(std::move(log)),
      title_(model_->title()),
      inputs_(tensors_of(model_->signature().inputs)),
      outputs_(tensors_of(model_->signature().outputs)),
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
  const Contract* const contract = model_->contract();
  sidecall_net_service service{};
  service.context = this;
  service.name = title_.c_str();
  service.version = contract == nullptr ? nullptr : contract->version.c_str();
  service.contract = contract == nullptr ? nullptr : contract->text.c_str();
  service.inputs = inputs_.data();
  service.num_inputs = inputs_.size();
  service.outputs = outputs_.data();
  service.num_outputs = outputs_.size();
  service.has_records = contract == nullptr ? 0 : 1;
  service.logs_requests = log_->takes(shm::LogLevel::kDebug) ? 1 : 0;
  service.is_verified = model_->is_verified() ? 1 : 0;
  service.is_local = execution_.is_local ? 1 : 0;
  service.num_threads = num_job_threads();
  service.is_repeatable = execution_.is_repeatable ? 1 : 0;
  service.is_ready = &NetworkService::is_ready;
  service.num_hung = &NetworkService::num_hung;
  service.model_id = &NetworkService::model_id;
  service.open_call = &NetworkService::open_call;
  service.close_call = &close_call;
  service.set_tensors = &set_tensors;
  service.missing_at = &missing_at;
  service.set_records = &set_records;
  service.run = &run;
  service.cancel = &cancel;
  service.outcome_of = &outcome_of;
  service.open_queue = &open_queue;
  service.close_queue = &close_queue;
  service.handle_of = &handle_of;
  service.submit = &submit;
  service.take = &take;
  service.arm = &arm;
  service.outputs_of = &outputs_of;
  service.records_of = &records_of;
  service.make_idle = &make_idle;
  service.faults_of = &faults_of;
  service.log = &NetworkService::log;
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
