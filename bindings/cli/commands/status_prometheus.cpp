// Writes the counters for Prometheus, see status.hpp: in seconds and bytes, with one HELP and TYPE
// line for each name.
#include <sidecall/sidecall.h>

#include <charconv>
#include <cstdlib>

#include "status.hpp"

namespace sidecall::cli {
namespace {

// The server has four buckets for each power of two; they are merged into one for Prometheus.
constexpr size_t kBucketsPerPower = 4;

std::string number_text(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
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

void write_latency(const Json& status, Exposition& out) {
  const Json& latency = at(status, "latency_ns");
  const Json& bounds = at(latency, "bounds");
  const Json& counts = at(latency, "counts");
  if (!bounds.IsArray() || !counts.IsArray() || counts.Size() != bounds.Size() + 1) return;
  out.head("sidecall_call_seconds", "histogram",
           "Time from seeing a request to publishing its answer.");
  uint64_t total = 0;
  for (rapidjson::SizeType i = 0; i < counts.Size(); ++i) {
    if (!counts[i].IsUint64()) return;
    total += counts[i].GetUint64();
    if (i < bounds.Size() && i % kBucketsPerPower == kBucketsPerPower - 1)
      out.sample("sidecall_call_seconds_bucket{le=\"" + seconds(bounds[i]) + "\"}",
                 std::to_string(total));
  }
  out.sample("sidecall_call_seconds_bucket{le=\"+Inf\"}", std::to_string(total));
  out.sample("sidecall_call_seconds_sum", seconds(at(latency, "sum")));
  out.sample("sidecall_call_seconds_count", std::to_string(total));
}

}  // namespace

std::string prometheus_text(const Json& status) {
  Exposition out(status);
  out.head("sidecall_model_info", "gauge", "The model that is served.");
  out.sample("sidecall_model_info{name=\"" + escaped(text_at(status, "name")) + "\",version=\"" +
                 escaped(text_at(status, "version")) + "\",id=\"" +
                 escaped(text_at(status, "model_id")) + "\"}",
             "1");
  out.number("sidecall_ready", "gauge", "1 while calls are taken.", "ready");
  out.number("sidecall_verified", "gauge", "1 where the golden rows passed at start.", "verified");
  out.number("sidecall_workers", "gauge", "Processes that serve.", "workers");
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
  out.number("sidecall_memory_bytes", "gauge", "Shared memory of all connections.", "bytes_mapped");
  out.number("sidecall_one_shot_results_total", "counter", "Results that exceeded their slot.",
             "one_shots");
  write_calls(status, out);
  out.head("sidecall_run_seconds_total", "counter", "Time that the model ran.");
  out.sample("sidecall_run_seconds_total", seconds(at(status, "run_ns")));
  write_latency(status, out);
  return out.take();
}

}  // namespace sidecall::cli
