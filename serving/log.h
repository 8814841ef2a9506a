// Writes the events of one server as lines to a descriptor, and passes them on as completions of a
// queue. A thread of the log, not a thread of the server, writes the lines. Used by servers and
// supervisors.
#pragma once

#include <sidecall/server.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "log_queue.h"
#include "shm/server/server.h"

namespace sidecall {

class ServerLog {
 public:
  // Passes on the text of an event, a JSON object. Never blocks. Returns false if there was no
  // room.
  using Post = std::function<bool(std::string&& text)>;

  void write_lines(const sidecall_log_lines& lines);
  void pass_on(Post post, int32_t least_level);

  ServerLog() = default;
  // Waits until all lines are written, at most kEndNs.
  ~ServerLog();
  ServerLog(const ServerLog&) = delete;
  ServerLog& operator=(const ServerLog&) = delete;

  // Whether events of this level are written or passed on.
  bool takes(shm::LogLevel level) const noexcept {
    return has_lines(static_cast<int32_t>(level)) || has_posts(static_cast<int32_t>(level));
  }

  // Never blocks. Returns false if the event was dropped.
  bool add(shm::LogLevel level, const char* event, const std::string& facts);

  // Drops all further events. Used when a server could not be opened: the caller gets the error,
  // so the events of closing it again are not of interest.
  void silence() noexcept { is_silent_.store(true, std::memory_order_relaxed); }

  static constexpr int64_t kEndNs = INT64_C(200) * 1000 * 1000;

 private:
  bool has_lines(int32_t level) const noexcept {
    return queue_ != nullptr && level >= least_level_;
  }
  bool has_posts(int32_t level) const noexcept {
    return post_ != nullptr && level >= least_posted_level_;
  }
  bool post(const LogEntry& entry);

  std::shared_ptr<LogQueue> queue_;  // nullptr without lines
  int32_t least_level_ = 0;
  bool as_json_ = false;
  Post post_;
  int32_t least_posted_level_ = 0;
  std::mutex post_mutex_;
  uint64_t num_dropped_ = 0;  // events that post_ had no room for, since the last log.dropped
  std::atomic<bool> is_silent_{false};
};

// The log function for shm::ServerOptions.
shm::LogFunction log_function(const std::shared_ptr<ServerLog>& log);

// Implement sidecall_log_line and sidecall_log_flush.
void log_line(const sidecall_log_lines& lines, int32_t level, const char* json);
void flush_lines(int64_t timeout_ns);

}  // namespace sidecall
