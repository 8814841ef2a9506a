// The queue and its thread; see log_queue.h.
#include "log_queue.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <utility>

#include "core/platform.h"

namespace sidecall {
namespace {

constexpr std::chrono::seconds kLinger(1);  // the thread ends after this time without an entry
constexpr int64_t kLongestFlush = INT64_C(3600) * 1000 * 1000 * 1000;
constexpr int32_t kWarning = 2;

}  // namespace

struct LogQueue::State {
  explicit State(Write given) : write(std::move(given)) {}

  static void run(void* owned) noexcept;
  void run() noexcept;
  bool has_room(size_t bytes) const {
    return entries.size() < kMaxEntries && num_bytes + bytes <= kMaxBytes;
  }
  void push(LogEntry entry) {
    const size_t bytes = entry.json.size();
    entries.push_back(std::move(entry));
    num_bytes += bytes;
  }
  LogEntry take() {
    LogEntry entry = std::move(entries.front());
    entries.pop_front();
    num_bytes -= entry.json.size();
    return entry;
  }
  void report_dropped() {
    LogEntry entry = dropped_entry(num_dropped);
    entry.as_json = as_json;
    push(std::move(entry));
    num_dropped = 0;
  }

  const Write write;

  std::mutex mutex;  // never held while `write` runs
  std::condition_variable has_entry, is_idle;
  std::deque<LogEntry> entries;
  size_t num_bytes = 0;
  uint64_t num_dropped = 0;  // since the last log.dropped
  bool as_json = false;      // of the last entry; log.dropped uses it
  bool has_thread = false;
  bool is_writing = false;
  bool is_ended = false;
};

LogQueue::LogQueue(Write write)
    : state_(std::make_shared<State>(std::move(write))), process_(platform::process_id()) {}

LogQueue::~LogQueue() {
  if (platform::process_id() != process_) return;
  const std::lock_guard lock(state_->mutex);
  state_->is_ended = true;
  state_->entries.clear();
  state_->has_entry.notify_all();
}

bool LogQueue::add(LogEntry entry) noexcept {
  if (platform::process_id() != process_) return false;
  State& state = *state_;
  const std::lock_guard lock(state.mutex);
  try {
    state.as_json = entry.as_json;
    if (state.has_room(entry.json.size())) {
      if (!state.has_thread) {
        auto owned = std::make_unique<std::shared_ptr<State>>(state_);
        state.has_thread =
            platform::start_thread([](void* given) { State::run(given); }, owned.get());
        if (state.has_thread) static_cast<void>(owned.release());
      }
      if (state.has_thread) {
        if (state.num_dropped > 0) state.report_dropped();
        state.push(std::move(entry));
        state.has_entry.notify_one();
        return true;
      }
    }
  } catch (const std::exception&) {
    // There is no memory for the entry: drop it and count it.
  }
  ++state.num_dropped;
  return false;
}

void LogQueue::flush(int64_t ns) noexcept {
  if (platform::process_id() != process_) return;
  State& state = *state_;
  std::unique_lock lock(state.mutex);
  const auto is_done = [&] {
    return state.entries.empty() && !state.is_writing && state.num_dropped == 0;
  };
  if (!state.has_thread ||
      state.is_idle.wait_for(lock, std::chrono::nanoseconds(std::min(ns, kLongestFlush)), is_done))
    return;
  state.entries.clear();
  state.num_bytes = 0;
  state.num_dropped = 0;
}

void LogQueue::State::run(void* given) noexcept {
  const std::unique_ptr<std::shared_ptr<State>> owned(static_cast<std::shared_ptr<State>*>(given));
  (*owned)->run();
}

void LogQueue::State::run() noexcept {
  std::unique_lock lock(mutex);
  for (;;) {
    if (entries.empty() && num_dropped > 0) {
      try {
        report_dropped();
      } catch (const std::exception&) {
        num_dropped = 0;
      }
    }
    if (entries.empty()) {
      is_idle.notify_all();
      const bool has_more =
          has_entry.wait_for(lock, kLinger, [&] { return !entries.empty() || is_ended; });
      if (!has_more || is_ended) break;
    }
    const LogEntry entry = take();
    is_writing = true;
    lock.unlock();
    write(entry);
    lock.lock();
    is_writing = false;
  }
  has_thread = false;
}

LogEntry dropped_entry(uint64_t count) {
  return {kWarning, "{\"event\":\"log.dropped\",\"lines\":" + std::to_string(count) + "}",
          log_time_ms(), false};
}

int64_t log_time_ms() noexcept {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

}  // namespace sidecall
