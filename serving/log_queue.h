// A bounded queue of log entries with a thread that writes them, so that a pipe that nothing reads
// does not stop any other thread. Used by log.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace sidecall {

struct LogEntry {
  int32_t level = 0;
  std::string json;
  int64_t time_ms = 0;  // when the event happened, in milliseconds since 1970
  bool as_json = false;
};

// Any thread may call any function. The thread of the queue starts with the first entry and ends
// after a second without an entry.
class LogQueue {
 public:
  // At most this many entries, and this many bytes, wait. Further entries are dropped.
  static constexpr size_t kMaxEntries = 1024;
  static constexpr size_t kMaxBytes = size_t{1} << 20;

  // `write` runs on the thread of the queue, one call at a time. It may block, but it must not
  // throw. It may still be running after the queue is destroyed, so it must own what it uses.
  using Write = std::function<void(const LogEntry&)>;
  explicit LogQueue(Write write);

  // Does not wait: entries that flush() has not written are lost.
  ~LogQueue();
  LogQueue(const LogQueue&) = delete;
  LogQueue& operator=(const LogQueue&) = delete;

  // Never blocks. Returns false if the entry was dropped. After entries were dropped, `write` gets
  // the event log.dropped with their number.
  bool add(LogEntry entry) noexcept;

  // Waits until all entries are written, at most `ns`. Entries that still wait then are dropped, so
  // `write` is not called for them.
  void flush(int64_t ns) noexcept;

 private:
  struct State;
  const std::shared_ptr<State> state_;  // shared with the thread
  const int32_t process_;               // a forked child does not have the thread
};

int64_t log_time_ms() noexcept;

// The event log.dropped: so many events are missing.
LogEntry dropped_entry(uint64_t count);

}  // namespace sidecall
