// Formats events as plain or JSON lines, which a thread for each descriptor writes; see log.h.
#include "log.h"

#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <iterator>
#include <map>
#include <mutex>
#include <new>

#include "base/json/json.h"
#include "base/process/per_process.h"
#include "base/text/utf8.h"
#include "core/text.h"

namespace sidecall {
namespace {

constexpr const char* kLevels[] = {"debug", "info", "warning", "error"};

// Written in place of an event that does not fit a line even after its texts were shortened.
constexpr const char* kTooLong = "{\"event\":\"log.too_long\"}";
constexpr int kMaxShortened = 32;
constexpr rapidjson::SizeType kLeastShortened = 64;

// ---- Text ----

// Formats a time as 2026-11-25T03:10:55.123Z.
std::string time_text(int64_t time_ms) {
  const auto seconds = static_cast<std::time_t>(time_ms / 1000);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[40];
  const size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text + length, sizeof text - length, ".%03dZ", static_cast<int>(time_ms % 1000));
  return text;
}

template <typename Value>
std::string json_text(const Value& value) {
  json::Buffer buffer;
  json::Writer writer(buffer);
  value.Accept(writer);
  return {buffer.GetString(), buffer.GetSize()};
}

// A list of texts is written as a,b.
std::string value_text(const json::Value& value) {
  if (value.IsArray()) {
    std::string text;
    for (const auto& each : value.GetArray()) text += (text.empty() ? "" : ",") + value_text(each);
    return text;
  }
  return value.IsString() ? printable({value.GetString(), value.GetStringLength()})
                          : json_text(value);
}

// Formats an event as: event key=value key="two words".
std::string plain_text(const std::string& json) {
  json::Document document;
  document.Parse(json.c_str());
  if (document.HasParseError() || !document.IsObject()) return printable(json);
  const auto event = document.FindMember("event");
  std::string line = event == document.MemberEnd() ? "event" : value_text(event->value);
  for (const auto& member : document.GetObject()) {
    const std::string name = value_text(member.name);
    if (name == "event") continue;
    const std::string value = value_text(member.value);
    const bool is_plain = !value.empty() && value.find_first_of(" \"=") == std::string::npos;
    line += " " + name + "=" + (is_plain ? value : "\"" + value + "\"");
  }
  return line;
}

// The JSON object of the event, with its time and its level.
std::string event_text(const LogEntry& entry) {
  const bool has_members = entry.json.size() > 2 && entry.json[0] == '{';
  const std::string rest = has_members ? entry.json.substr(1) : "\"event\":\"\"}";
  return "{\"time\":\"" + time_text(entry.time_ms) + "\",\"level\":\"" + kLevels[entry.level] +
         "\"," + rest;
}

std::string line_of(const LogEntry& entry) {
  if (entry.as_json) return event_text(entry) + "\n";
  return time_text(entry.time_ms) + " " + kLevels[entry.level] + " " + plain_text(entry.json) +
         "\n";
}

// The first and the last quarter of a text, cut at character boundaries.
std::string without_middle(const std::string& text) {
  const size_t head = cut_length(text, text.size() / 4);
  size_t tail = text.size() - text.size() / 4;
  while (tail < text.size() && continues_character(text[tail])) ++tail;
  return text.substr(0, head) + " ... " + text.substr(tail);
}

// The JSON object with its longest text shortened, or kTooLong if that is not possible.
std::string shortened(const std::string& json) {
  json::Document document;
  document.Parse(json.c_str());
  if (document.HasParseError() || !document.IsObject()) return kTooLong;
  json::Value* longest = nullptr;
  for (auto& member : document.GetObject()) {
    if (!member.value.IsString()) continue;
    if (longest == nullptr || member.value.GetStringLength() > longest->GetStringLength())
      longest = &member.value;
  }
  if (longest == nullptr || longest->GetStringLength() < kLeastShortened) return kTooLong;
  const std::string text = without_middle({longest->GetString(), longest->GetStringLength()});
  longest->SetString(text.c_str(), static_cast<rapidjson::SizeType>(text.size()),
                     document.GetAllocator());
  return json_text(document);
}

// ---- Writing ----

// The kernel writes up to PIPE_BUF bytes to a pipe atomically. Lines of other processes could split
// a longer line.
size_t longest_line(int fd) noexcept {
  struct stat file{};
  return ::fstat(fd, &file) == 0 && S_ISREG(file.st_mode) ? SIZE_MAX : PIPE_BUF;
}

void write_all(int fd, const std::string& line) noexcept {
  size_t done = 0;
  while (done < line.size()) {
    const ssize_t written = ::write(fd, line.data() + done, line.size() - done);
    if (written > 0) {
      done += static_cast<size_t>(written);
    } else if (written < 0 && errno == EAGAIN) {
      // Another process that shares the pipe made it non-blocking.
      pollfd poll = {fd, POLLOUT, 0};
      ::poll(&poll, 1, -1);
    } else if (written == 0 || errno != EINTR) {
      return;
    }
  }
}

// Writes one entry as a line. Drops it if there is no memory for the line.
void write_line(int fd, LogEntry entry) noexcept {
  try {
    const size_t longest = longest_line(fd);
    std::string line = line_of(entry);
    for (int tries = 0; line.size() > longest; ++tries) {
      entry.json = tries < kMaxShortened ? shortened(entry.json) : kTooLong;
      line = line_of(entry);
    }
    write_all(fd, line);
  } catch (...) {  // no exception may leave the thread of the queue
  }
}

// The queues of all descriptors that lines are written to, one queue per descriptor.
class Descriptors {
 public:
  explicit Descriptors(uint64_t created_in) : generation(created_in) {}
  const uint64_t generation;

  std::shared_ptr<LogQueue> queue_of(int fd) {
    const std::lock_guard lock(mutex_);
    std::shared_ptr<LogQueue>& queue = queues_[fd];
    if (queue == nullptr)
      queue = std::make_shared<LogQueue>([fd](const LogEntry& entry) { write_line(fd, entry); });
    return queue;
  }

  std::map<int, std::shared_ptr<LogQueue>> all() {
    const std::lock_guard lock(mutex_);
    return queues_;
  }

 private:
  std::mutex mutex_;
  std::map<int, std::shared_ptr<LogQueue>> queues_;
};

bool is_level(int32_t level) {
  return level >= 0 && level < static_cast<int32_t>(std::size(kLevels));
}

}  // namespace

void ServerLog::write_lines(const sidecall_log_lines& lines) {
  queue_ = per_process<Descriptors>().queue_of(lines.fd);
  least_level_ = lines.least_level;
  as_json_ = lines.as_json != 0;
}

void ServerLog::pass_on(Post post, int32_t least_level) {
  post_ = std::move(post);
  least_posted_level_ = least_level;
}

ServerLog::~ServerLog() {
  if (queue_ != nullptr) queue_->flush(kEndNs);
}

bool ServerLog::add(shm::LogLevel level, const char* event, const std::string& facts) {
  const auto number = static_cast<int32_t>(level);
  if (!takes(level) || is_silent_.load(std::memory_order_relaxed)) return true;
  std::string json = std::string("{\"event\":\"") + event + '"';
  if (facts.size() > 2) json += ',' + facts.substr(1);
  else json += '}';
  LogEntry entry{number, std::move(json), log_time_ms(), as_json_};
  const bool is_posted = !has_posts(number) || post(entry);
  return (!has_lines(number) || queue_->add(std::move(entry))) && is_posted;
}

bool ServerLog::post(const LogEntry& entry) {
  const std::lock_guard lock(post_mutex_);
  try {
    if (num_dropped_ > 0 && post_(event_text(dropped_entry(num_dropped_)))) num_dropped_ = 0;
    if (num_dropped_ == 0 && post_(event_text(entry))) return true;
  } catch (const std::bad_alloc&) {
    // There is no memory for the text: drop the event and count it.
  }
  ++num_dropped_;
  return false;
}

shm::LogFunction log_function(const std::shared_ptr<ServerLog>& log) {
  return [log](shm::LogLevel level, const char* event, const std::string& facts) {
    return log->add(level, event, facts);
  };
}

void log_line(const sidecall_log_lines& lines, int32_t level, const char* json) {
  if (level < lines.least_level || !is_level(level)) return;
  per_process<Descriptors>().queue_of(lines.fd)->add(
      {level, json, log_time_ms(), lines.as_json != 0});
}

void flush_lines(int64_t timeout_ns) {
  const shm::Deadline deadline = shm::Deadline::after(std::max<int64_t>(timeout_ns, 0));
  for (const auto& [fd, queue] : per_process<Descriptors>().all()) queue->flush(deadline.left_ns());
}

}  // namespace sidecall
