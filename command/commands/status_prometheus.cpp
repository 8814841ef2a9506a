// Writes the counters for Prometheus (see status.hpp) in seconds and bytes, with one HELP and one
// TYPE line for each name.
#include <sidecall/sidecall.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <numeric>
#include <optional>
#include <vector>

#include "base/text/number.h"
#include "status.hpp"

namespace sidecall::cli {
namespace {

// The bounds of the histogram in nanoseconds: close together up to 1 ms, where most models answer,
// and wider up to 10 s. A server has about five times as many buckets. Each of these bounds is
// replaced by the nearest bound of the server, and all of the server's buckets between two such
// bounds are merged, so that every count stays exact.
constexpr uint64_t kUs = 1000, kMs = 1000 * kUs, kS = 1000 * kMs;
constexpr uint64_t kBoundsNs[] = {1 * kUs,   2 * kUs,   3 * kUs,   5 * kUs,   7 * kUs,   10 * kUs,
                                  15 * kUs,  20 * kUs,  30 * kUs,  50 * kUs,  70 * kUs,  100 * kUs,
                                  150 * kUs, 200 * kUs, 300 * kUs, 500 * kUs, 700 * kUs, 1 * kMs,
                                  2 * kMs,   5 * kMs,   10 * kMs,  20 * kMs,  50 * kMs,  100 * kMs,
                                  200 * kMs, 500 * kMs, 1 * kS,    2 * kS,    5 * kS,    10 * kS};

std::string seconds(uint64_t nanoseconds) {
  return number_text(static_cast<double>(nanoseconds) / 1e9);
}

std::string seconds(const Json& nanoseconds) {
  return number_text(nanoseconds.IsNumber() ? nanoseconds.GetDouble() / 1e9 : 0);
}

// Escapes the value of a label. The format has escapes only for backslash, quote and line feed;
// other control characters become text such as \u001b.
std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : printable(text, LineEnds::kKeep)) {
    if (c == '\n') result += "\\n";
    else if (c == '"' || c == '\\') result += '\\', result += c;
    else result += c;
  }
  return result;
}

class Exposition {
 public:
  explicit Exposition(const Json& status) : status_(status) {}

  void head(const char* name, const char* type, const char* help) {
    text_ += std::string("# HELP ") + name + " " + help + "\n# TYPE " + name + " " + type + "\n";
  }
  void sample(const std::string& name, const std::string& value) {
    text_ += name + " " + value + "\n";
  }

  // Writes one number of the status as a metric of its own.
  void number(const char* name, const char* type, const char* help, const char* key) {
    head(name, type, help);
    const Json& value = at(status_, key);
    sample(name, value.IsBool()     ? (value.GetBool() ? "1" : "0")
                 : value.IsNumber() ? text_of(value)
                                    : "0");
  }
  std::string take() { return std::move(text_); }

 private:
  const Json& status_;
  std::string text_;
};

void write_calls(const Json& status, Exposition& out) {
  out.head("sidecall_calls_total", "counter", "Calls answered, by status.");
  const Json& statuses = at(status, "statuses");
  if (!statuses.IsObject()) return;
  for (const auto& member : statuses.GetObject()) {
    if (!member.value.IsNumber()) continue;
    const std::string name = sidecall_status_name(std::atoi(member.name.GetString()));
    out.sample("sidecall_calls_total{status=\"" + name + "\"}", text_of(member.value));
  }
}

// Returns, in ascending order, the indices of the bounds that are nearest to those in kBoundsNs.
std::vector<size_t> shown_bounds(const std::vector<uint64_t>& bounds) {
  std::vector<size_t> shown;
  for (const uint64_t wanted : kBoundsNs) {
    const auto above = std::lower_bound(bounds.begin(), bounds.end(), wanted);
    auto nearest = above;
    if (above == bounds.end() || (above != bounds.begin() && wanted - above[-1] < *above - wanted))
      --nearest;
    const auto index = static_cast<size_t>(nearest - bounds.begin());
    if (shown.empty() || shown.back() != index) shown.push_back(index);
  }
  return shown;
}

// Reads an array of unsigned numbers; returns nullopt for anything else.
std::optional<std::vector<uint64_t>> numbers_at(const Json& object, const char* key) {
  const Json& array = at(object, key);
  if (!array.IsArray()) return std::nullopt;
  std::vector<uint64_t> numbers;
  for (const auto& number : array.GetArray()) {
    if (!number.IsUint64()) return std::nullopt;
    numbers.push_back(number.GetUint64());
  }
  return numbers;
}

void write_latency(const Json& status, Exposition& out) {
  const Json& latency = at(status, "latency_ns");
  const auto bounds = numbers_at(latency, "bounds"), counts = numbers_at(latency, "counts");
  if (!bounds || !counts || bounds->empty() || counts->size() != bounds->size() + 1) return;
  if (std::adjacent_find(bounds->begin(), bounds->end(), std::greater_equal<>()) != bounds->end())
    return;
  out.head("sidecall_call_seconds", "histogram",
           "Time from receiving a request to publishing its answer.");
  uint64_t total = 0;
  auto bucket = counts->begin();
  for (const size_t shown : shown_bounds(*bounds)) {
    const auto end = counts->begin() + static_cast<std::ptrdiff_t>(shown) + 1;
    total = std::accumulate(bucket, end, total);
    bucket = end;
    out.sample("sidecall_call_seconds_bucket{le=\"" + seconds((*bounds)[shown]) + "\"}",
               std::to_string(total));
  }
  total = std::accumulate(bucket, counts->end(), total);
  out.sample("sidecall_call_seconds_bucket{le=\"+Inf\"}", std::to_string(total));
  out.sample("sidecall_call_seconds_sum", seconds(at(latency, "sum")));
  out.sample("sidecall_call_seconds_count", std::to_string(total));
}

// The files of the servers over HTTP and gRPC, with the same names as in their own /metrics.
void write_network(const Json& status, Exposition& out) {
  const Json& servers = at(status, "network");
  if (!servers.IsArray() || servers.Empty()) return;
  const auto each = [&](const char* name, const char* help, const char* key) {
    out.head(name, "gauge", help);
    for (const auto& server : servers.GetArray())
      if (server.HasMember(key))
        out.sample(std::string(name) + "{at=\"" + escaped(text_at(server, "at")) + "\"}",
                   text_at(server, key));
  };
  each("sidecall_tokens", "Tokens that clients may use.", "tokens");
  each("sidecall_certificate_expires_timestamp_seconds",
       "When the certificate expires, in seconds since 1970.", "certificate_expires");
  const char* const usable = "sidecall_file_usable";
  out.head(usable, "gauge", "1 if the file can be used as it is now, otherwise 0.");
  for (const auto& server : servers.GetArray()) {
    for (const std::string file : {"tokens", "certificate"}) {
      const std::string key = file + "_failure";
      if (server.HasMember(key.c_str()))
        out.sample(std::string(usable) + "{at=\"" + escaped(text_at(server, "at")) + "\",file=\"" +
                       file + "\"}",
                   text_at(server, key.c_str()).empty() ? "1" : "0");
    }
  }
}

}  // namespace

std::string prometheus_text(const Json& status) {
  Exposition out(status);
  out.head("sidecall_model_info", "gauge", "The model that is served.");
  out.sample("sidecall_model_info{name=\"" + escaped(text_at(status, "name")) + "\",version=\"" +
                 escaped(text_at(status, "version")) + "\",id=\"" +
                 escaped(text_at(status, "model_id")) + "\"}",
             "1");
  out.number("sidecall_ready", "gauge", "1 while the server accepts calls.", "ready");
  out.number("sidecall_verified", "gauge", "1 if the golden rows passed at the start.", "verified");
  out.number("sidecall_workers", "gauge", "Number of serving processes.", "workers");
  out.number("sidecall_workers_hung_total", "counter", "Workers that were ended because they hung.",
             "workers_hung");
  out.head("sidecall_uptime_seconds", "gauge", "Time since the start.");
  out.sample("sidecall_uptime_seconds", seconds(at(status, "uptime_ns")));
  out.number("sidecall_connections", "gauge", "Connections that are open.", "connections");
  out.number("sidecall_connections_accepted_total", "counter", "Connections accepted.", "accepted");
  out.number("sidecall_connections_refused_total", "counter", "Connections refused.", "refused");
  out.number("sidecall_connections_violated_total", "counter",
             "Connections closed because the client broke the protocol.", "violations");
  out.number("sidecall_log_events_suppressed_total", "counter",
             "Log events left out by the limit for each user.", "log_suppressed");
  out.number("sidecall_log_events_dropped_total", "counter",
             "Log events dropped because the log was not read.", "log_dropped");
  out.number("sidecall_calls_in_flight", "gauge", "Calls that run.", "in_flight");
  out.number("sidecall_calls_queued", "gauge", "Calls that wait for a thread.", "queued");
  out.number("sidecall_shared_memory_bytes", "gauge", "Shared memory of all connections.",
             "bytes_mapped");
  out.number("sidecall_memory_bytes", "gauge", "Memory that clients make the server hold.",
             "memory_bytes");
  out.number("sidecall_memory_limit_bytes", "gauge", "The limit of sidecall_memory_bytes.",
             "memory_limit_bytes");
  out.number("sidecall_one_shot_results_total", "counter", "Results that exceeded their slot.",
             "one_shots");
  write_calls(status, out);
  out.head("sidecall_run_seconds_total", "counter", "Time that the model ran.");
  out.sample("sidecall_run_seconds_total", seconds(at(status, "run_ns")));
  write_latency(status, out);
  write_network(status, out);
  return out.take();
}

}  // namespace sidecall::cli
