// Where the events of one server go: to the program's callback, or as lines to a descriptor, on a
// thread that is not the server's. Used by servers and supervisors.
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
  // To a callback; none if `write` is nullptr.
  ServerLog(sidecall_log write, void* context);
  explicit ServerLog(const sidecall_log_lines& lines);

  // Waits until what was said is written, at most kEndNs.
  ~ServerLog();
  ServerLog(const ServerLog&) = delete;
  ServerLog& operator=(const ServerLog&) = delete;

  // Never blocks. False when the event was dropped.
  bool add(shm::LogLevel level, const char* event, const std::string& facts);

  // From now on events are left out: what a server that never came up has to say is its error.
  void silence() noexcept { is_silent_.store(true, std::memory_order_relaxed); }

  static constexpr int64_t kEndNs = INT64_C(200) * 1000 * 1000;

 private:
  std::shared_ptr<LogQueue> queue_;  // nullptr without a log
  int32_t least_level_ = 0;
  bool as_json_ = false;
  std::atomic<bool> is_silent_{false};
};

// For shm::ServerOptions; empty where the program wants no log.
shm::LogFunction log_function(const std::shared_ptr<ServerLog>& log);

// sidecall_log_line and sidecall_log_flush.
void log_line(const sidecall_log_lines& lines, int32_t level, const char* json);
void flush_lines(int64_t timeout_ns);

}  // namespace sidecall
