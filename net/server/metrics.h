// Counts what a server does, and writes the counts for Prometheus and for the status.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace sidecall::net {

class TlsContext;
class Tokens;

enum class Route { kInfer, kPredict, kMetadata, kHealth, kMetrics, kOther };
inline constexpr size_t kNumRoutes = 6;
const char* route_name(Route route) noexcept;

// The counts of one server. Any thread may use the object.
class Metrics {
 public:
  void count(Route route, int http_status, std::chrono::nanoseconds took) noexcept;

  std::atomic<int64_t> connections{0};  // open now
  std::atomic<uint64_t> accepted{0};    // connections since the start
  std::atomic<uint64_t> refused{0};     // connections beyond a limit
  std::atomic<uint64_t> broken{0};      // connections that broke the protocol or a limit of time
  std::atomic<int64_t> runs{0};         // under way now
  // The time of the last progress: a run ended, or a run began to wait for a thread while no other
  // run waited. In nanoseconds of the clock of message.h. Only for runs that this process executes.
  std::atomic<int64_t> progressed_ns{0};
  std::atomic<uint64_t> abandoned{0};  // runs whose client went away or gave them up
  std::atomic<uint64_t> memory{0};     // bytes of requests and responses that are held

  // In the text format of Prometheus, of several servers. Labels: `protocol="http"`.
  struct Labelled {
    std::string labels;
    const Metrics* metrics;
    const Tokens* tokens;   // or nullptr
    const TlsContext* tls;  // or nullptr
    int64_t num_hung;       // workers that were ended because they hung; -1 without workers
  };
  static std::string write_prometheus(const std::vector<Labelled>& servers);
  // As members of a JSON object.
  void append_json(std::string* out) const;

 private:
  static constexpr std::array<int64_t, 12> kBucketsUs = {
      50, 100, 250, 500, 1000, 2500, 10000, 50000, 250000, 1000000, 5000000, 30000000};
  static constexpr std::array<const char*, 6> kClasses = {"", "1xx", "2xx", "3xx", "4xx", "5xx"};
  struct PerRoute {
    std::array<std::atomic<uint64_t>, 6> statuses{};  // by class
    std::array<std::atomic<uint64_t>, 13> buckets{};  // the last one counts all longer requests
    std::atomic<uint64_t> total_us{0};
  };
  std::array<PerRoute, kNumRoutes> routes_;
};

}  // namespace sidecall::net
