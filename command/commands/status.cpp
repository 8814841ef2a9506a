// sidecall status: shows the state and counters of a server, for people, probes, programs and
// Prometheus.
#include "status.hpp"

#include <sidecall/server.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <ctime>

#include "model/model.hpp"
#include "terminal/output.hpp"

namespace sidecall::cli {
namespace {

// The day of a time in seconds since 1970.
std::string day_text(double seconds) {
  const auto time = static_cast<std::time_t>(seconds);
  std::tm fields{};
  ::gmtime_r(&time, &fields);
  std::array<char, 16> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%d", &fields);
  return text.data();
}

double number_at(const Json& value, const char* key) {
  return at(value, key).IsNumber() ? at(value, key).GetDouble() : 0;
}

std::string mebibytes(double bytes) {
  return short_number(std::round(bytes / 1048576.0 * 10) / 10);
}

std::string failures_text(const Json& status) {
  std::string text;
  const Json& statuses = at(status, "statuses");
  if (!statuses.IsObject()) return text;
  for (const auto& member : statuses.GetObject()) {
    const int number = std::atoi(member.name.GetString());
    if (number != SIDECALL_OK)
      text +=
          (text.empty() ? "" : ", ") + text_of(member.value) + " " + sidecall_status_name(number);
  }
  return text;
}

std::string state_text(const Json& status) {
  std::string text = true_at(status, "draining") ? "draining"
                     : true_at(status, "ready")  ? "ready"
                                                 : "not ready";
  if (true_at(status, "verified")) text += ", golden rows passed";
  return text + ", up " + duration_text(number_at(status, "uptime_ns"));
}

std::string workers_table(const Json& status) {
  const Json& each = at(status, "each");
  if (!each.IsArray() || each.Empty()) return "";
  Table table("rrlrrrr",
              {"worker", "process", "state", "connections", "in flight", "calls", "errors"});
  for (const auto& worker : each.GetArray()) {
    table.add({text_at(worker, "worker"), text_at(worker, "process"),
               true_at(worker, "draining") ? "draining"
               : true_at(worker, "ready")  ? "ready"
                                           : "not ready",
               text_at(worker, "connections"), text_at(worker, "in_flight"),
               text_at(worker, "calls"), text_at(worker, "errors")});
  }
  return "\n" + table.text();
}

// The servers over HTTP and gRPC in the same process, and the state of their files.
std::string network_table(const Json& status) {
  const Json& each = at(status, "network");
  if (!each.IsArray() || each.Empty()) return "";
  Table table("lrrll", {"address", "connections", "requests", "tokens", "certificate"});
  for (const auto& server : each.GetArray()) {
    const auto file = [&](const char* failure, const std::string& usual) {
      const std::string text = text_at(server, failure);
      return text.empty() ? usual : text;
    };
    const bool has_certificate = server.HasMember("certificate_expires");
    table.add({text_at(server, "at"), text_at(server, "connections"), text_at(server, "requests"),
               file("tokens_failure", text_at(server, "tokens")),
               file("certificate_failure",
                    has_certificate ? "until " + day_text(number_at(server, "certificate_expires"))
                                    : "")});
  }
  return "\n" + table.text();
}

std::string page(const Json& status) {
  Table table("ll");
  const std::string name = text_at(status, "name");
  table.add(
      {"model", (name.empty() ? "(no name)" : name) +
                    (text_at(status, "version").empty() ? "" : " " + text_at(status, "version"))});
  table.add({"id", text_at(status, "model_id")});
  table.add({"state", state_text(status)});
  if (number_at(status, "process") > 0) table.add({"process", text_at(status, "process")});
  table.add({"connections", text_at(status, "connections") + " (accepted " +
                                text_at(status, "accepted") + ", refused " +
                                text_at(status, "refused") + ", violations " +
                                text_at(status, "violations") + ")"});
  const std::string failures = failures_text(status);
  table.add({"calls", text_at(status, "calls") + (failures.empty() ? "" : " (" + failures + ")")});
  table.add({"now",
             text_at(status, "in_flight") + " running, " + text_at(status, "queued") + " waiting"});
  if (number_at(status, "workers_hung") > 0)
    table.add({"workers", text_at(status, "workers_hung") + " ended because they hung"});
  const Json& latency = at(status, "latency_ns");
  if (number_at(status, "calls") > 0) {
    std::string text;
    for (const char* key : {"p50", "p90", "p99", "p999"})
      text += (text.empty() ? "" : ", ") + std::string(key) + " " +
              duration_text(number_at(latency, key));
    table.add({"latency", text});
  }
  if (number_at(status, "log_suppressed") + number_at(status, "log_dropped") > 0)
    table.add({"log", text_at(status, "log_suppressed") + " events suppressed, " +
                          text_at(status, "log_dropped") + " dropped"});
  table.add({"memory", mebibytes(number_at(status, "memory_bytes")) + " of " +
                           mebibytes(number_at(status, "memory_limit_bytes")) + " MiB"});
  return table.text() + workers_table(status) + network_table(status);
}

}  // namespace

int run_status(const Command& self, std::vector<std::string> words) {
  Arguments arguments(self,
                      "Exit code 0 if the server answered (with --ready: if it accepts calls),\n"
                      "otherwise 4.");
  std::string address;
  double wait_s = 0;
  bool ready = false, as_json = false, as_prometheus = false;
  arguments.app.add_option("ADDRESS", address, "address of the server: shm:NAME or shm:/path")
      ->required()
      ->option_text(" ");
  arguments.app.add_flag(
      "--ready", ready,
      "for probes: write ready, draining or not ready; exit code 0 only if ready");
  CLI::Option* json =
      arguments.app.add_flag("--json", as_json, "write all counters as JSON")->option_text(" ");
  arguments.app
      .add_flag("--prometheus", as_prometheus,
                "write all counters in the text format of Prometheus")
      ->option_text(" ")
      ->excludes(json);
  arguments.app
      .add_option("--wait", wait_s,
                  "how long to wait for a server that is still starting (default: 0)")
      ->check(number_of_seconds(ZeroSeconds::kAllowed))
      ->option_text("SECONDS");
  if (!arguments.parse(std::move(words))) return kOk;

  sidecall_error err = SIDECALL_ERROR_INIT;
  sidecall_text* raw = nullptr;
  const sidecall_status answered =
      sidecall_server_query(address.c_str(), static_cast<int64_t>(wait_s * 1e9), &raw, &err);
  const Text text(raw);
  if (answered != SIDECALL_OK) throw failure_of(address, answered, err);
  const JsonDocument status = parse_json({text->data, text->length});
  if (ready) {
    const bool takes_calls = true_at(status, "ready") && !true_at(status, "draining");
    out().write(takes_calls                   ? "ready\n"
                : true_at(status, "draining") ? "draining\n"
                                              : "not ready\n");
    return takes_calls ? kOk : kEnvironment;
  }
  if (as_json) out().write(printable(text_of(status)) + "\n");
  else out().write(as_prometheus ? prometheus_text(status) : page(status));
  return kOk;
}

}  // namespace sidecall::cli
