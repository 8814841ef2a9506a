// A bounded queue of log entries and the thread that writes them, so that a pipe that is not read,
// or a callback that blocks, stops no other thread. Used by log.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace sidecall {

struct LogEntry {
  int32_t level = 0;
  std::string json;
  int64_t time_ms = 0;  // of the event, since 1970
  bool as_json = false;
};

// Any thread may call any function. The thread starts with the first entry and ends after a second
// without one.
class LogQueue {
 public:
  // At most so many entries, and bytes, wait. Beyond that new entries are dropped.
  static constexpr size_t kMaxEntries = 1024;
  static constexpr size_t kMaxBytes = size_t{1} << 20;

  // `write` runs on the thread of the queue, one call at a time. It may block; it must not throw.
  // It may still be running after the queue is gone, so it owns what it uses.
  using Write = std::function<void(const LogEntry&)>;
  explicit LogQueue(Write write);

  // Does not wait: what flush() left is lost.
  ~LogQueue();
  LogQueue(const LogQueue&) = delete;
  LogQueue& operator=(const LogQueue&) = delete;

  // Never blocks. False when the entry was dropped. Where entries were dropped, `write` gets the
  // event log.dropped with their number.
  bool add(LogEntry entry) noexcept;

  // Waits until everything is written, at most `ns`. What is not begun by then is dropped, so
  // `write` is not called again for it.
  void flush(int64_t ns) noexcept;

 private:
  struct State;
  const std::shared_ptr<State> state_;  // shared with the thread
  const int32_t process_;               // a forked child has no such thread
};

int64_t log_time_ms() noexcept;

}  // namespace sidecall
