// Sums counters and writes them as JSON, for STATUS and for the log of the server.
#include "status.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include "base/json/json_text.h"

namespace sidecall::shm {

namespace {

constexpr unsigned kFirstPower = 2;  // 0 to 3 ns have one bucket each

template <typename Value>
std::string join(size_t count, Value value) {
  std::string text = "[";
  for (size_t i = 0; i < count; ++i) {
    if (i > 0) text += ',';
    text += std::to_string(value(i));
  }
  return text += ']';
}

std::string statuses_json(const std::array<uint64_t, kStatuses>& statuses) {
  Facts facts;
  for (size_t i = 0; i < kStatuses; ++i) {
    if (statuses[i] > 0) facts.number(std::to_string(i).c_str(), statuses[i]);
  }
  return facts.take();
}

std::string latency_json(const Status& status) {
  Facts facts;
  facts.number("sum", status.latency_ns);
  facts.number("p50", latency_percentile(status.latencies, 0.5));
  facts.number("p90", latency_percentile(status.latencies, 0.9));
  facts.number("p99", latency_percentile(status.latencies, 0.99));
  facts.number("p999", latency_percentile(status.latencies, 0.999));
  // The bounds of all buckets except the last, which has none.
  facts.raw("bounds", join(kBuckets - 1, latency_bound));
  facts.raw("counts", join(kBuckets, [&](size_t i) { return status.latencies[i]; }));
  return facts.take();
}

std::string clients_json(const std::vector<ClientStatus>& clients) {
  std::string text = "[";
  for (const ClientStatus& client : clients) {
    if (text.size() > 1) text += ',';
    Facts facts;
    facts.number("process", client.process).number("uid", uint64_t{client.uid});
    facts.number("bytes", client.bytes).number("calls", client.calls);
    text += facts.take();
  }
  return text += ']';
}

}  // namespace

size_t latency_bucket(uint64_t ns) noexcept {
  if (ns < 4) return static_cast<size_t>(ns);
  const auto power = static_cast<unsigned>(63 - __builtin_clzll(ns));
  const size_t quarter = static_cast<size_t>(ns >> (power - 2)) & 3;
  return std::min(kBuckets - 1, 4 * (power - kFirstPower + 1) + quarter);
}

uint64_t latency_bound(size_t bucket) noexcept {
  if (bucket + 1 >= kBuckets) return UINT64_MAX;
  if (bucket < 4) return bucket;
  const auto power = static_cast<unsigned>(bucket / 4 - 1 + kFirstPower);
  return ((4 + bucket % 4 + 1) << (power - 2)) - 1;
}

uint64_t latency_percentile(const std::array<uint64_t, kBuckets>& counts, double q) noexcept {
  uint64_t total = 0;
  for (const uint64_t count : counts) total += count;
  if (total == 0) return 0;
  const auto wanted =
      std::max(uint64_t{1}, static_cast<uint64_t>(std::llround(q * static_cast<double>(total))));
  uint64_t seen = 0;
  for (size_t i = 0; i < kBuckets; ++i) {
    seen += counts[i];
    if (seen >= wanted)
      return i + 1 < kBuckets ? latency_bound(i) : latency_bound(kBuckets - 2) + 1;
  }
  return 0;
}

void EngineCounters::note(int32_t status, uint64_t latency, uint64_t run) noexcept {
  calls.add(1);
  if (status != 0) errors.add(1);
  statuses[status >= 0 && static_cast<size_t>(status) < kStatuses ? static_cast<size_t>(status)
                                                                  : kStatuses - 1]
      .add(1);
  run_ns.add(run);
  latency_ns.add(latency);
  latencies[latency_bucket(latency)].add(1);
}

void Status::add(const EngineCounters& counters) noexcept {
  calls += counters.calls.value();
  errors += counters.errors.value();
  one_shots += counters.one_shots.value();
  run_ns += counters.run_ns.value();
  latency_ns += counters.latency_ns.value();
  for (size_t i = 0; i < kStatuses; ++i) statuses[i] += counters.statuses[i].value();
  for (size_t i = 0; i < kBuckets; ++i) latencies[i] += counters.latencies[i].value();
}

std::string Status::json() const {
  char instance_text[17];
  std::snprintf(instance_text, sizeof(instance_text), "%016llx",
                static_cast<unsigned long long>(instance));
  Facts facts;
  facts.text("name", name).text("version", version).text("model_id", model_id);
  facts.text("instance", instance_text).number("process", process).number("protocol", uint64_t{1});
  facts.boolean("ready", is_ready)
      .boolean("draining", is_draining)
      .boolean("verified", is_verified);
  facts.number("uptime_ns", uptime_ns).number("workers", workers);
  facts.number("connections", connections)
      .number("half_open", half_open)
      .number("accepted", accepted);
  facts.number("refused", refused).number("violations", violations).number("closed", closed);
  facts.number("in_flight", in_flight)
      .number("queued", queued)
      .number("bytes_mapped", bytes_mapped);
  facts.number("memory_bytes", memory_bytes).number("memory_limit_bytes", memory_limit_bytes);
  facts.number("calls", calls)
      .number("errors", errors)
      .number("one_shots", one_shots)
      .number("run_ns", run_ns);
  facts.number("log_suppressed", log_suppressed).number("log_dropped", log_dropped);
  facts.raw("statuses", statuses_json(statuses)).raw("latency_ns", latency_json(*this));
  facts.raw("clients", clients_json(clients));
  return facts.take();
}

void Facts::key(const char* name) {
  if (text_.size() > 1) text_ += ',';
  append_json_string(name, &text_);
  text_ += ':';
}

Facts& Facts::text(const char* name, std::string_view value) {
  key(name);
  append_json_string(value, &text_);
  return *this;
}

Facts& Facts::number(const char* name, uint64_t value) { return raw(name, std::to_string(value)); }
Facts& Facts::number(const char* name, int64_t value) { return raw(name, std::to_string(value)); }
Facts& Facts::boolean(const char* name, bool value) { return raw(name, value ? "true" : "false"); }

Facts& Facts::raw(const char* name, std::string_view json) {
  key(name);
  text_ += json;
  return *this;
}

}  // namespace sidecall::shm
