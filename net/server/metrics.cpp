// Counts requests; see metrics.h.
#include "metrics.h"

#include <algorithm>
#include <cstdio>

#include "net/server/connection/byte_stream.h"
#include "net/server/credentials/tokens.h"

namespace sidecall::net {
namespace {

void add(std::atomic<uint64_t>* counter, uint64_t amount = 1) noexcept {
  counter->fetch_add(amount, std::memory_order_relaxed);
}

std::string seconds_of(int64_t us) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%g", static_cast<double>(us) / 1e6);
  return text.data();
}

}  // namespace

const char* route_name(Route route) noexcept {
  switch (route) {
    case Route::kInfer:
      return "infer";
    case Route::kPredict:
      return "predict";
    case Route::kMetadata:
      return "metadata";
    case Route::kHealth:
      return "health";
    case Route::kMetrics:
      return "metrics";
    case Route::kOther:
      break;
  }
  return "other";
}

void Metrics::count(Route route, int http_status, std::chrono::nanoseconds took) noexcept {
  PerRoute& counts = routes_[static_cast<size_t>(route)];
  add(&counts.statuses[static_cast<size_t>(std::clamp(http_status / 100, 1, 5))]);
  const int64_t us = std::max<int64_t>(took.count() / 1000, 0);
  const auto* const bucket = std::lower_bound(kBucketsUs.begin(), kBucketsUs.end(), us);
  add(&counts.buckets[static_cast<size_t>(bucket - kBucketsUs.begin())]);
  add(&counts.total_us, static_cast<uint64_t>(us));
}

std::string Metrics::write_prometheus(const std::vector<Labelled>& servers) {
  std::string out;
  const auto head = [&](const char* name, const char* type, const char* help) {
    out.append("# HELP ").append(name).append(" ").append(help).append("\n# TYPE ");
    out.append(name).append(" ").append(type).append("\n");
  };
  const auto line = [&](const std::string& name, const std::string& labels, uint64_t value) {
    out.append(name + "{" + labels + "} " + std::to_string(value) + "\n");
  };
  const auto read = [](const auto& counter) {
    return static_cast<uint64_t>(counter.load(std::memory_order_relaxed));
  };
  const auto each_route = [&](const auto& visit) {
    for (const Labelled& server : servers) {
      for (size_t i = 0; i < kNumRoutes; ++i)
        visit(server.metrics->routes_[i],
              server.labels + ",route=\"" + route_name(static_cast<Route>(i)) + "\"");
    }
  };
  head("sidecall_requests_total", "counter", "Requests that were answered, by class of status.");
  each_route([&](const PerRoute& route, const std::string& labels) {
    for (size_t k = 1; k < kClasses.size(); ++k) {
      if (const uint64_t count = read(route.statuses[k]))
        line("sidecall_requests_total", labels + ",status=\"" + kClasses[k] + "\"", count);
    }
  });
  const char* const seconds = "sidecall_request_seconds";
  head(seconds, "histogram", "Time from the last byte of a request to its response.");
  each_route([&](const PerRoute& route, const std::string& labels) {
    uint64_t count = 0;
    for (const auto& bucket : route.buckets) count += read(bucket);
    if (count == 0) return;
    uint64_t below = 0;
    for (size_t k = 0; k < route.buckets.size(); ++k) {
      below += read(route.buckets[k]);
      const std::string le = k < kBucketsUs.size() ? seconds_of(kBucketsUs[k]) : "+Inf";
      line(std::string(seconds) + "_bucket", labels + ",le=\"" + le + "\"", below);
    }
    out.append(std::string(seconds) + "_sum{" + labels + "} " +
               seconds_of(static_cast<int64_t>(read(route.total_us))) + "\n");
    line(std::string(seconds) + "_count", labels, below);
  });
  const auto all = [&](const char* name, const char* type, const char* help, auto member) {
    head(name, type, help);
    for (const Labelled& server : servers) line(name, server.labels, read(server.metrics->*member));
  };
  all("sidecall_connections", "gauge", "Connections that are open.", &Metrics::connections);
  all("sidecall_connections_accepted_total", "counter", "Connections that were accepted.",
      &Metrics::accepted);
  all("sidecall_connections_refused_total", "counter", "Connections beyond a limit.",
      &Metrics::refused);
  all("sidecall_connections_broken_total", "counter",
      "Connections that broke the protocol or a limit of time.", &Metrics::broken);
  all("sidecall_runs", "gauge", "Runs of the model that are under way.", &Metrics::runs);
  all("sidecall_runs_abandoned_total", "counter",
      "Runs that were cancelled because their client went away or gave them up.",
      &Metrics::abandoned);
  all("sidecall_held_bytes", "gauge", "Memory of requests and responses.", &Metrics::memory);
  head("sidecall_tokens", "gauge", "Tokens that clients may use.");
  for (const Labelled& server : servers)
    if (server.tokens != nullptr) line("sidecall_tokens", server.labels, server.tokens->count());
  const char* const expires = "sidecall_certificate_expires_timestamp_seconds";
  head(expires, "gauge", "When the certificate expires, in seconds since 1970.");
  for (const Labelled& server : servers)
    if (server.tls != nullptr)
      line(expires, server.labels, static_cast<uint64_t>(server.tls->expires()));
  const auto each_file = [&](const char* name, const auto& value_of) {
    for (const Labelled& server : servers) {
      if (server.tokens != nullptr)
        line(name, server.labels + ",file=\"tokens\"", value_of(*server.tokens));
      if (server.tls != nullptr)
        line(name, server.labels + ",file=\"certificate\"", value_of(*server.tls));
    }
  };
  head("sidecall_file_usable", "gauge", "1 if the file can be used as it is now, otherwise 0.");
  each_file("sidecall_file_usable",
            [](const Renewed& file) { return uint64_t{file.failure().empty() ? 1U : 0U}; });
  head("sidecall_file_failures_total", "counter", "How often the file became unusable.");
  each_file("sidecall_file_failures_total",
            [](const Renewed& file) { return file.num_failures(); });
  const char* const hung = "sidecall_workers_hung_total";
  head(hung, "counter", "Workers that were ended because they hung.");
  for (const Labelled& server : servers) {
    if (server.num_hung >= 0) line(hung, server.labels, static_cast<uint64_t>(server.num_hung));
  }
  return out;
}

void Metrics::append_json(std::string* out) const {
  const auto number = [&](const char* name, const auto& counter) {
    out->append(",\"").append(name).append("\":");
    out->append(std::to_string(counter.load(std::memory_order_relaxed)));
  };
  number("connections", connections);
  number("connections_accepted", accepted);
  number("connections_refused", refused);
  number("connections_broken", broken);
  number("runs", runs);
  number("runs_abandoned", abandoned);
  number("held_bytes", memory);
  uint64_t requests = 0, failed = 0;
  for (const PerRoute& route : routes_) {
    for (size_t k = 1; k < kClasses.size(); ++k) {
      const uint64_t count = route.statuses[k].load(std::memory_order_relaxed);
      requests += count;
      if (k >= 4) failed += count;
    }
  }
  out->append(",\"requests\":" + std::to_string(requests));
  out->append(",\"requests_failed\":" + std::to_string(failed));
}

}  // namespace sidecall::net
