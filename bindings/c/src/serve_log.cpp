// sidecall_log_line: the server's events as lines, for people or as JSON. Used by the command and by the Python package.
#include <rapidjson/document.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>
#include <sidecall/server.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <iterator>
#include <string>

#include "core/text.h"
#include "guard.h"
#include "structs.h"

namespace {

constexpr const char* kLevels[] = {"debug", "info", "warning", "error"};

// 2026-11-25T03:10:55.123Z
std::string now_text() {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[40];
  const size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text + length, sizeof text - length, ".%03dZ", static_cast<int>(millis));
  return text;
}

std::string value_text(const rapidjson::Value& value) {
  if (value.IsString()) return sidecall::printable({value.GetString(), value.GetStringLength()});
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> writer(buffer);
  value.Accept(writer);
  return {buffer.GetString(), buffer.GetSize()};
}

// event key=value key="two words"
std::string plain_text(const char* json) {
  rapidjson::Document document;
  document.Parse(json);
  if (document.HasParseError() || !document.IsObject()) return sidecall::printable(json);
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

}  // namespace

extern "C" {

void sidecall_log_line(void* context, int32_t level, const char* json) {
  sidecall::guard(nullptr, [&] {
    const auto* given = static_cast<const sidecall_log_lines*>(context);
    if (given == nullptr || json == nullptr) return;
    const sidecall_log_lines lines = sidecall::read_struct(given, sidecall::default_log_lines(), "lines");
    if (level < lines.least_level || level < 0 || level >= static_cast<int32_t>(std::size(kLevels))) return;
    std::string line;
    if (lines.as_json != 0) {
      const char* rest = json[0] == '{' && json[1] != '}' ? json + 1 : "\"event\":\"\"}";
      line = "{\"time\":\"" + now_text() + "\",\"level\":\"" + kLevels[level] + "\"," + rest;
    } else {
      line = now_text() + " " + kLevels[level] + " " + plain_text(json);
    }
    line += '\n';
    // In one write, so that lines stay whole.
    [[maybe_unused]] const ssize_t written = ::write(lines.fd, line.data(), line.size());
  });
}

}  // extern "C"
