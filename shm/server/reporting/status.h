// Counters of a server, and the JSON that answers STATUS. Written by engine threads and the control
// thread; the supervisor of several workers sums their counters.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sidecall::shm {

// A counter that one thread writes and other threads read.
class Counter {
 public:
  void add(uint64_t amount) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }
  uint64_t value() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// ---- Latencies ----

// There are four buckets for each power of two, so a percentile below 2^38 ns is at most a quarter
// too high. The last bucket holds everything from 2^38 ns (275 s) on; a percentile there is given
// as 2^38 ns, which may be too low.
constexpr size_t kBuckets = 4 * 37 + 1;
size_t latency_bucket(uint64_t ns) noexcept;
// The largest latency of a bucket; UINT64_MAX for the last.
uint64_t latency_bound(size_t bucket) noexcept;

// The bound of the bucket in which the fraction `q` of all counts is reached: 2^38 for the last
// bucket, 0 if there are no counts.
uint64_t latency_percentile(const std::array<uint64_t, kBuckets>& counts, double q) noexcept;

// ---- Counters ----

// Status numbers are below this. Any other number is counted as kStatuses - 1.
constexpr size_t kStatuses = 100;

// The counters of one engine thread. Only that thread writes them.
struct EngineCounters {
  Counter calls;  // answered calls, with success or failure
  Counter errors;
  Counter one_shots;
  Counter run_ns;
  Counter latency_ns;  // from seeing a request to publishing its answer
  std::array<Counter, kStatuses> statuses;
  std::array<Counter, kBuckets> latencies;

  void note(int32_t status, uint64_t latency, uint64_t run) noexcept;
};

struct ClientStatus {
  int64_t process = 0;
  uint32_t uid = 0;
  uint64_t bytes = 0;
  uint64_t calls = 0;
};

// The sum of all counters at one moment, in plain integers.
struct Status {
  std::string name, version, model_id;
  uint64_t instance = 0;
  int64_t process = 0;
  int64_t uptime_ns = 0;
  bool is_ready = false, is_draining = false, is_verified = false;
  uint64_t workers = 0;
  uint64_t connections = 0, half_open = 0;
  uint64_t accepted = 0, refused = 0, violations = 0, closed = 0;
  // Log events left out by the limit for each user and kind of event (event_log.h), and events
  // dropped by the LogFunction.
  uint64_t log_suppressed = 0, log_dropped = 0;
  uint64_t in_flight = 0, queued = 0;
  uint64_t bytes_mapped = 0;
  uint64_t memory_bytes = 0, memory_limit_bytes = 0;
  uint64_t calls = 0, errors = 0, one_shots = 0, run_ns = 0, latency_ns = 0;
  std::array<uint64_t, kStatuses> statuses{};
  std::array<uint64_t, kBuckets> latencies{};
  std::vector<ClientStatus> clients;

  void add(const EngineCounters& counters) noexcept;
  std::string json() const;
};

// ---- JSON ----

// Builds a flat JSON object, member by member. Also used for the facts of log events.
class Facts {
 public:
  Facts& text(const char* key, std::string_view value);
  Facts& number(const char* key, uint64_t value);
  Facts& number(const char* key, int64_t value);
  Facts& boolean(const char* key, bool value);
  Facts& raw(const char* key, std::string_view json);
  std::string take() { return std::move(text_ += '}'); }

 private:
  void key(const char* name);
  std::string text_ = "{";
};

}  // namespace sidecall::shm
