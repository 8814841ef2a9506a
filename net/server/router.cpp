// What all routes have in common; see router.h.
#include "router.h"

#include <sidecall/sidecall.h>

#include <algorithm>
#include <mutex>
#include <utility>

#include "base/json/json_text.h"
#include "base/process/spin_policy.h"
#include "net/common/error.h"
#include "net/common/status.h"
#include "net/server/credentials/host_field.h"

namespace sidecall::net {
namespace {

// gRPC sends faults in a trailer, as base64, and clients accept only small trailers.
constexpr size_t kMaxGrpcFaultBytes = 3000, kMaxHttpFaultBytes = size_t{256} * 1024;

std::mutex g_mutex;  // guards the list
// All that are open in this process. Never destroyed, because the threads of a server may use it
// until the process ends.
std::vector<const ServerContext*>& g_servers = *new std::vector<const ServerContext*>();

constexpr size_t kMaxWorkers = 4;
// Calls are more important than handshakes. A third of the usual share of a CPU still lets
// handshakes end in time on a busy machine. Only machines with many CPUs get a second thread.
constexpr int kHandshakeNiceness = 5;
constexpr int kCpusForTwoHandshakers = 8;

size_t num_handshakers() { return usable_cpus() >= kCpusForTwoHandshakers ? 2 : 1; }

// Reads the files that an option of the address names.
template <typename Read>
auto read_files(Read read) {
  try {
    return read();
  } catch (const Error& error) {
    throw Error(error.status(), std::string("at: ") + error.what());
  }
}

std::string model_name(const ServerAddress& address, const sidecall_net_service& service) {
  if (!address.name.empty()) return address.name;
  return service.name != nullptr && *service.name != '\0' ? service.name : "model";
}

}  // namespace

ServerContext::ServerContext(ServerAddress given, const sidecall_net_service& served,
                             const sidecall_net_server_options& limits)
    : address(std::move(given)),
      service(served),
      options(limits),
      workers(kMaxWorkers),
      handshakers(num_handshakers(), kHandshakeNiceness),
      tokens(read_files([&] {
        return address.tokens.empty() ? nullptr : std::make_unique<Tokens>(address.tokens);
      })),
      tls(read_files([&] { return address.is_secure ? make_tls_context(address) : nullptr; })),
      access(address, tokens.get()),
      name(model_name(address, service)),
      label(address.label) {
  const std::lock_guard lock(g_mutex);
  g_servers.push_back(this);
}

ServerContext::~ServerContext() {
  const std::lock_guard lock(g_mutex);
  g_servers.erase(std::find(g_servers.begin(), g_servers.end(), this));
}

void ServerContext::set_label(std::string text) {
  const std::lock_guard lock(g_mutex);
  label = std::move(text);
}

// A model that was exported without a version has version 1, which many clients ask for by default.
ModelNames ServerContext::names() const {
  const bool has_version = service.version != nullptr && *service.version != '\0';
  return {name, has_version ? service.version : "1", service.library->model_id(service.model)};
}

std::string ServerContext::unknown_model() const {
  return "this server has only the model '" + name +
         "': the request names another model or version";
}

int outcome_of(const Response& response) {
  return response.grpc_status == kGrpcOk ? response.status
                                         : http_status_of_grpc(response.grpc_status);
}

void require_memory(HeldMemory* memory, uint64_t bytes) {
  if (memory->add(bytes)) return;
  throw Error(SIDECALL_OUT_OF_MEMORY,
              "request: reading it needs about " + std::to_string(bytes >> 20U) +
                  " MiB, more than --max-memory leaves: send binary tensors or fewer rows");
}

bool ServerContext::is_ready() const {
  return !is_draining.load(std::memory_order_relaxed) && service.is_ready(service.context) != 0 &&
         !is_stalled();
}

bool ServerContext::is_stalled() const {
  if (service.is_local == 0) return false;  // then is_ready() of the service knows
  const int64_t since = metrics.progressed_ns.load(std::memory_order_relaxed);
  return metrics.runs.load(std::memory_order_relaxed) > service.num_threads &&
         Clock::now().time_since_epoch().count() - since >= options.unready_after_ns;
}

std::string all_metrics() {
  const std::lock_guard lock(g_mutex);
  std::vector<Metrics::Labelled> servers;
  for (const ServerContext* const server : g_servers) {
    std::string labels = "at=";
    append_json_string(server->label, &labels);
    servers.push_back({labels, &server->metrics, server->tokens.get(), server->tls.get(),
                       server->service.num_hung(server->service.context)});
  }
  return Metrics::write_prometheus(servers);
}

Router::Router(ServerContext* server, Poller* poller)
    : server_(*server),
      model_(server->service, is_grpc() ? kMaxGrpcFaultBytes : kMaxHttpFaultBytes),
      runs_(model_, poller, &server->metrics, &server->workers) {}

std::optional<Response> Router::refuse(const Request& request) {
  std::optional<Response> refused = check_access(request);
  if (!refused && is_grpc()) refused = refuse_grpc(request);
  if (refused) {
    const Route route = is_grpc() ? grpc_route(request.target) : http_route(request.target);
    record(request, route, *refused);
  }
  return refused;
}

std::optional<Response> Router::check_access(const Request& request) {
  // A socket has no name, so its clients may leave the host empty.
  const bool may_be_empty = !server_.address.socket.empty() || request.is_http_1_0;
  if (!is_grpc() && !is_host_field(request.host) && !(request.host.empty() && may_be_empty))
    return refusal(400, "header Host: expected HOST or HOST:PORT, but the header has another form");
  const bool is_open = is_grpc() ? is_open_grpc(request.target) : is_open_http(request.target);
  switch (server_.access.check(request, is_open)) {
    case Access::kAllowed:
      break;
    case Access::kNoToken: {
      if (is_grpc()) return grpc_error(kGrpcUnauthenticated, "expected a token of this server");
      Response refused =
          refusal(401, "send a token of this server in the header Authorization: Bearer TOKEN");
      refused.headers.emplace_back("www-authenticate", "Bearer");
      return refused;
    }
    case Access::kOtherSite:
      return refusal(403, "pages of other sites may not send requests to this server");
    case Access::kUnknownHost:
      return refusal(
          421,
          "the header Host has a name that this server does not accept: allow it with the "
          "option host (--allow-host)");
  }
  return std::nullopt;
}

uint64_t Router::max_body_bytes(const Request& request) const {
  constexpr uint64_t kSmall = 4096;
  const Route route = is_grpc() ? grpc_route(request.target) : http_route(request.target);
  const bool is_run = route == Route::kInfer || route == Route::kPredict;
  return is_run ? server_.options.max_request_bytes
                : std::min(kSmall, server_.options.max_request_bytes);
}

void Router::handle(Request&& request, Responder* responder) {
  const Route route = is_grpc() ? grpc_route(request.target) : http_route(request.target);
  const bool is_run = route == Route::kInfer || route == Route::kPredict;
  if (is_run && request.method == "POST") {
    if (is_grpc()) run_grpc(std::move(request), responder);
    else run_http(std::move(request), route, responder);
    return;
  }
  Response response = is_grpc() ? answer_grpc(request) : answer_http(request, route);
  finish(request, route, std::move(response), responder);
}

void Router::finish(const Request& request, Route route, Response response, Responder* responder) {
  record(request, route, response);
  responder->respond(std::move(response));
}

void Router::record(const Request& request, Route route, const Response& response) {
  const int status = outcome_of(response);
  // A request that was refused before it had arrived completely has no duration.
  const bool has_arrived = request.begun != Clock::time_point();
  const auto took = has_arrived ? Clock::now() - request.begun : Clock::duration::zero();
  server_.metrics.count(route, status, took);
  if (server_.service.logs_requests == 0) return;
  std::string facts = "\"method\":";
  append_json_string(request.method, &facts);
  facts.append(",\"route\":\"").append(route_name(route)).append("\",\"status\":");
  facts.append(std::to_string(status)).append(",\"us\":");
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(took).count();
  facts.append(std::to_string(us)).append(",\"bytes\":");
  facts.append(std::to_string(request.body.size()));
  constexpr int32_t kDebug = 0;
  server_.service.log(server_.service.context, kDebug, "request", facts.c_str());
}

}  // namespace sidecall::net
