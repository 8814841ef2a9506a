// What all routes have in common; see router.h.
#include "router.h"

#include <sidecall/sidecall.h>

#include <algorithm>
#include <mutex>
#include <utility>

#include "base/json_text.h"
#include "net/common/error.h"
#include "net/common/status.h"

namespace sidecall::net {
namespace {

// Faults over gRPC are a trailer, in base64, and clients take few bytes of those.
constexpr size_t kMaxGrpcFaultBytes = 3000, kMaxHttpFaultBytes = size_t{256} * 1024;

std::mutex g_mutex;  // guards the list
// All that are open in this process. Never destroyed, because the threads of a server may use it
// until the process ends.
std::vector<const Site*>& g_sites = *new std::vector<const Site*>();

std::string model_name(const ServerAddress& address, const sidecall_net_service& service) {
  if (!address.name.empty()) return address.name;
  return service.name != nullptr && *service.name != '\0' ? service.name : "model";
}

}  // namespace

Site::Site(ServerAddress given, const sidecall_net_service& served,
           const sidecall_net_server_options& limits)
    : address(std::move(given)),
      service(served),
      options(limits),
      access(address),
      name(model_name(address, service)),
      label(address.label) {
  const std::lock_guard lock(g_mutex);
  g_sites.push_back(this);
}

Site::~Site() {
  const std::lock_guard lock(g_mutex);
  g_sites.erase(std::find(g_sites.begin(), g_sites.end(), this));
}

void Site::set_label(std::string text) {
  const std::lock_guard lock(g_mutex);
  label = std::move(text);
}

ModelNames Site::names() const {
  return {name, service.version == nullptr ? "" : service.version,
          service.model_id(service.context)};
}

std::string Site::unknown_model() const {
  return "expected the model '" + name + "' of this server, got another name or version";
}

void require_memory(HeldMemory* memory, uint64_t bytes) {
  if (memory->add(bytes)) return;
  throw Error(SIDECALL_OUT_OF_MEMORY,
              "request: expected one that can be read in the memory for requests, got one that "
              "needs about " +
                  std::to_string(bytes >> 20U) + " MiB: send it in binary or in parts");
}

bool Site::is_ready() const {
  return !is_draining.load(std::memory_order_relaxed) && service.is_ready(service.context) != 0;
}

std::string all_metrics() {
  const std::lock_guard lock(g_mutex);
  std::vector<Metrics::Labelled> servers;
  for (const Site* const site : g_sites) {
    std::string labels = "at=";
    append_json_string(site->label, &labels);
    servers.push_back({labels, &site->metrics});
  }
  return Metrics::write_prometheus(servers);
}

Router::Router(Site* site, Poller* poller)
    : site_(*site),
      runs_(site->service, site->address.is_grpc ? kMaxGrpcFaultBytes : kMaxHttpFaultBytes, poller,
            &site->metrics, &site->workers) {}

std::optional<Response> Router::refuse(const Request& request) {
  const bool is_open = is_grpc() ? is_open_grpc(request.target) : is_open_http(request.target);
  std::optional<Response> refused;
  switch (site_.access.check(request, is_open)) {
    case Access::kAllowed:
      return refused;
    case Access::kNoToken:
      refused = is_grpc() ? grpc_error(kGrpcUnauthenticated, "expected a token of this server")
                          : refusal(401, "expected a token of this server, got none or another");
      if (!is_grpc()) refused->headers.emplace_back("www-authenticate", "Bearer");
      break;
    case Access::kOtherSite:
      refused = refusal(403, "expected no request from a page of another site, got one");
      break;
    case Access::kUnknownHost:
      refused = refusal(421,
                        "expected a name of this server as the host, got another one: see the "
                        "option host (--allow-host)");
      break;
  }
  const Route route = is_grpc() ? grpc_route(request.target) : http_route(request.target);
  record(request, route, refused->status);
  return refused;
}

uint64_t Router::max_body_bytes(const Request& request) const {
  constexpr uint64_t kSmall = 4096;
  const Route route = is_grpc() ? grpc_route(request.target) : http_route(request.target);
  const bool is_run = route == Route::kInfer || route == Route::kPredict;
  return is_run ? site_.options.max_request_bytes
                : std::min(kSmall, site_.options.max_request_bytes);
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
  record(request, route, response.status);
  responder->respond(std::move(response));
}

void Router::record(const Request& request, Route route, int status) {
  // A request that is refused before its end has no time.
  const bool has_arrived = request.begun != Clock::time_point();
  const auto took = has_arrived ? Clock::now() - request.begun : Clock::duration::zero();
  site_.metrics.count(route, status, took);
  if (site_.service.logs_requests == 0) return;
  std::string facts = "\"method\":";
  append_json_string(request.method, &facts);
  facts.append(",\"route\":\"").append(route_name(route)).append("\",\"status\":");
  facts.append(std::to_string(status)).append(",\"us\":");
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(took).count();
  facts.append(std::to_string(us)).append(",\"bytes\":");
  facts.append(std::to_string(request.body.size()));
  constexpr int32_t kDebug = 0;
  site_.service.log(site_.service.context, kDebug, "request", facts.c_str());
}

}  // namespace sidecall::net
