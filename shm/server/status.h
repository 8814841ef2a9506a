// Counters of a server and the JSON that STATUS answers with. Written by engine threads and the control thread; the supervisor of several
// workers adds theirs up.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sidecall::shm {

// A number that one thread adds to and others read.
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

// Four buckets to each power of two: a percentile is at most a quarter too high. The last one holds everything above 2^38 ns (275 s).
constexpr size_t kBuckets = 4 * 37 + 1;
size_t latency_bucket(uint64_t ns) noexcept;
uint64_t latency_bound(
    size_t bucket) noexcept;  // the largest latency of a bucket; UINT64_MAX of the last

// The bound of the bucket in which the share `q` of all is reached; 0 where there are none.
uint64_t latency_percentile(const std::array<uint64_t, kBuckets>& counts, double q) noexcept;

// ---- Counters ----

constexpr size_t kStatuses = 100;  // status numbers are below; others count as the last

// Of one engine thread, which alone writes them.
struct EngineCounters {
  Counter calls;  // answered, in any way
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

// A moment's sum, plain.
struct Status {
  std::string name, version, model_id;
  uint64_t instance = 0;
  int64_t process = 0;
  int64_t uptime_ns = 0;
  bool is_ready = false, is_draining = false, is_verified = false;
  uint64_t workers = 0;
  uint64_t connections = 0, half_open = 0;
  uint64_t accepted = 0, refused = 0, violations = 0, closed = 0;
  uint64_t log_suppressed = 0, log_dropped = 0;  // events: by the limit, for want of room
  uint64_t in_flight = 0, queued = 0;
  uint64_t bytes_mapped = 0;
  uint64_t calls = 0, errors = 0, one_shots = 0, run_ns = 0, latency_ns = 0;
  std::array<uint64_t, kStatuses> statuses{};
  std::array<uint64_t, kBuckets> latencies{};
  std::vector<ClientStatus> clients;

  void add(const EngineCounters& counters) noexcept;
  std::string json() const;
};

// ---- JSON ----

// A flat JSON object, member by member; also what log lines carry.
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
