// Sends the events of one server to the program's callback, or as lines to a descriptor. A thread
// of the log, not a thread of the server, calls the callback or writes the lines. Used by servers
// and supervisors.
#pragma once

#include <sidecall/server.h>

#include <atomic>
#include <memory>
#include <string>

#include "log_queue.h"
#include "shm/server/server.h"

namespace sidecall {

class ServerLog {
 public:
  // Sends events to a callback. If `write` is nullptr, there is no log.
  ServerLog(sidecall_log write, void* context);

  // Sends events as lines to a descriptor.
  explicit ServerLog(const sidecall_log_lines& lines);

  // Waits until all events are written, at most kEndNs.
  ~ServerLog();
  ServerLog(const ServerLog&) = delete;
  ServerLog& operator=(const ServerLog&) = delete;

  // Whether events of this level are written.
  bool takes(shm::LogLevel level) const noexcept {
    return queue_ != nullptr && static_cast<int32_t>(level) >= least_level_;
  }

  // Never blocks. Returns false if the event was dropped.
  bool add(shm::LogLevel level, const char* event, const std::string& facts);

  // Drops all further events. Used when a server could not be opened: the caller gets the error,
  // so the events of closing it again are not of interest.
  void silence() noexcept { is_silent_.store(true, std::memory_order_relaxed); }

  static constexpr int64_t kEndNs = INT64_C(200) * 1000 * 1000;

 private:
  std::shared_ptr<LogQueue> queue_;  // nullptr without a log
  int32_t least_level_ = 0;
  bool as_json_ = false;
  std::atomic<bool> is_silent_{false};
};

// The log function for shm::ServerOptions.
shm::LogFunction log_function(const std::shared_ptr<ServerLog>& log);

// Implement sidecall_log_line and sidecall_log_flush.
void log_line(const sidecall_log_lines& lines, int32_t level, const char* json);
void flush_lines(int64_t timeout_ns);

}  // namespace sidecall
