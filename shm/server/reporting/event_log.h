// The log of a server or supervisor. It passes events on, but limits the warnings and errors of
// each kind and user, because clients can provoke them. Used by the control thread, the supervisor,
// and handlers through Request::log().
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "shm/server/server.h"
#include "status.h"

namespace sidecall::shm {

// All functions may be called from any thread. The lock is not held while an event is passed on.
class EventLog {
 public:
  // The limit for one kind of event and one user: kBurst events at once, then one per kRefillNs.
  static constexpr uint32_t kBurst = 10;
  static constexpr int64_t kRefillNs = INT64_C(1000) * 1000 * 1000;

  // The number of suppressed events is logged this long after the first of them.
  static constexpr int64_t kReportAfterNs = INT64_C(10) * 1000 * 1000 * 1000;

  static constexpr int64_t kNoUser = -1;

  explicit EventLog(LogFunction pass_on) : pass_on_(std::move(pass_on)) {}

  // Logs an event with the facts that `fill(facts)` adds. An event for which there is no memory
  // counts as dropped.
  template <typename Fill>
  void log(LogLevel level, const char* event, const Fill& fill, int64_t user = kNoUser) noexcept {
    try {
      Facts facts;
      fill(facts);
      add(level, event, facts.take(), user);
    } catch (const std::exception&) {
      num_dropped_.fetch_add(1, std::memory_order_relaxed);
    }
  }

  // Runs one step of the control thread. If the step fails, for example because memory or
  // descriptors are exhausted, logs the error, so that the other steps still run.
  template <typename Step>
  void run_logging_errors(const Step& step) noexcept {
    try {
      step();
    } catch (const std::exception& error) {
      log(LogLevel::kError, "server.error",
          [&](Facts& facts) { facts.text("message", error.what()); });
    }
  }

  // `user` is the uid of the client that caused the event.
  void add(LogLevel level, const std::string& event, const std::string& facts,
           int64_t user = kNoUser);

  // When report() is due. INT64_MAX if no event was suppressed since the last report.
  int64_t report_due_ns() const noexcept { return report_due_ns_.load(std::memory_order_relaxed); }

  // Logs one event "log.suppressed" for each pair of a kind and a user of which events were
  // suppressed since the last report.
  void report() noexcept;

  // How many events the limit suppressed, and how many the LogFunction or a lack of memory dropped.
  uint64_t num_suppressed() const noexcept {
    return num_suppressed_.load(std::memory_order_relaxed);
  }
  uint64_t num_dropped() const noexcept { return num_dropped_.load(std::memory_order_relaxed); }

 private:
  struct Bucket {
    uint32_t tokens = kBurst;
    int64_t filled_ns = 0;
    uint64_t suppressed = 0;  // since the last report
  };
  using Key = std::pair<int64_t, std::string>;

  bool take_token(const std::string& event, int64_t user, int64_t now);
  Bucket& bucket_of(const std::string& event, int64_t user, int64_t now);
  void pass_on(LogLevel level, const std::string& event, const std::string& facts);

  const LogFunction pass_on_;
  std::atomic<int64_t> report_due_ns_{INT64_MAX};
  std::atomic<uint64_t> num_suppressed_{0}, num_dropped_{0};
  std::mutex mutex_;
  std::map<Key, Bucket> buckets_;
};

}  // namespace sidecall::shm
