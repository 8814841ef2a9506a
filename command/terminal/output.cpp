// Writes to stdout with checks for errors, writes lines to stderr, and formats tables, for every
// command; see output.hpp.
#include "output.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "base/json/json_text.h"
#include "base/text/utf8.h"
#include "command.hpp"
#include "platform.hpp"

namespace sidecall::cli {
namespace {

constexpr size_t kBufferBytes = 1 << 16;

// If the disk becomes full in the middle of a line, removes the partial line from the file, because
// a later reader of the file could take it for a complete answer.
void drop_partial_line(std::string_view written) {
  const size_t newline = written.rfind('\n');
  const auto excess = static_cast<off_t>(
      newline == std::string_view::npos ? written.size() : written.size() - newline - 1);
  struct stat about = {};
  if (excess == 0 || ::fstat(STDOUT_FILENO, &about) != 0 || !S_ISREG(about.st_mode)) return;
  // Truncate only if the end of the file is what this process wrote last.
  const off_t end = ::lseek(STDOUT_FILENO, 0, SEEK_CUR);
  if (end == about.st_size && ::ftruncate(STDOUT_FILENO, end - excess) == 0)
    ::lseek(STDOUT_FILENO, end - excess, SEEK_SET);
}

}  // namespace

int write_all(int fd, std::string_view text, size_t* num_written) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<size_t>(written));
      if (num_written) *num_written += static_cast<size_t>(written);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      wait_writable(fd);
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

void Output::write(std::string_view text) {
  buffer_.append(text);
  if (buffer_.size() >= kBufferBytes) flush();
}

bool Output::try_flush() {
  if (!error_) {
    size_t written = 0;
    error_ = write_all(STDOUT_FILENO, buffer_, &written);
    if (error_) drop_partial_line(std::string_view(buffer_).substr(0, written));
  }
  if (error_ == EPIPE) die_by_signal(SIGPIPE);
  buffer_.clear();
  return !error_;
}

void Output::flush() {
  if (!try_flush() && !reported_) fail();
}

void Output::close() {
  const bool used = !buffer_.empty();
  flush();
  if (!reported_ && ::close(STDOUT_FILENO) != 0 && (used || errno != EBADF)) {
    error_ = errno;
    fail();
  }
}

void Output::fail() {
  reported_ = true;
  throw Failure(kEnvironment, std::string("cannot write the output: ") + error_text(error_));
}

Output& out() {
  static Output output;
  return output;
}

void complain(std::string_view line) {
  out().try_flush();
  write_all(STDERR_FILENO, printable(line) + "\n");
}

std::string error_text(int error) {
  std::string text = std::strerror(error);
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z')
    text[0] = static_cast<char>(text[0] - 'A' + 'a');
  return text;
}

std::string printable(std::string_view text, LineEnds line_ends) {
  std::string result;
  result.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x80) {
      const size_t length = character_length(text, i);
      const auto next = static_cast<unsigned char>(length == 2 ? text[i + 1] : 0);
      // C1 control characters (U+0080 to U+009F) also control terminals; in UTF-8 they are C2 80 to
      // C2 9F.
      if (c == 0xC2 && length == 2 && next < 0xA0) append_unicode_escape(next, &result);
      else result += length == 0 ? "?" : text.substr(i, length);  // "?" for what is not UTF-8
      i += length == 0 ? 0 : length - 1;
      continue;
    }
    if ((c >= 0x20 && c != 0x7F) || (c == '\n' && line_ends == LineEnds::kKeep)) {
      result += text[i];
      continue;
    }
    append_unicode_escape(c, &result);
  }
  return result;
}

std::string shortened(std::string_view text, size_t width) {
  if (count_characters(text) <= width) return std::string(text);
  size_t end = 0;
  for (size_t seen = 0; end < text.size(); ++end) {
    if (!continues_character(text[end]) && seen++ == width - 3) break;
  }
  return std::string(text.substr(0, end)) + "...";
}

std::string counted(int64_t number, std::string_view noun) {
  return std::to_string(number) + " " + std::string(noun) + (number == 1 ? "" : "s");
}

std::string short_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

std::string short_difference(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2g", value);
  return text;
}

std::string duration_text(double ns) {
  if (ns < 1e3) return short_number(ns) + " ns";
  if (ns < 1e6) return short_number(std::round(ns / 1e1) / 1e2) + " us";
  if (ns < 1e9) return short_number(std::round(ns / 1e4) / 1e2) + " ms";
  const auto total = static_cast<int64_t>(ns / 1e9);
  if (total < 60) return short_number(std::round(ns / 1e7) / 1e2) + " s";
  if (total < 3600) return std::to_string(total / 60) + " min " + std::to_string(total % 60) + " s";
  return std::to_string(total / 3600) + " h " + std::to_string(total / 60 % 60) + " min";
}

std::string Table::text(std::string_view indent) const {
  std::vector<std::vector<std::string>> cells = rows_;
  if (!header_.empty()) cells.insert(cells.begin(), header_);
  std::vector<size_t> widths(layout_.size(), 0);
  for (auto& row : cells) {
    for (size_t i = 0; i < layout_.size(); ++i) {
      row[i] = printable(row[i]);
      widths[i] = std::max(widths[i], count_characters(row[i]));
    }
  }
  if (!header_.empty()) {
    std::vector<std::string> rule;
    rule.reserve(widths.size());
    for (size_t width : widths) rule.emplace_back(width, '-');
    cells.insert(cells.begin() + 1, std::move(rule));
  }
  std::string result;
  for (const auto& row : cells) {
    std::string line(indent);
    for (size_t i = 0; i < layout_.size(); ++i) {
      const std::string padding(widths[i] - count_characters(row[i]), ' ');
      line += layout_[i] == 'r' ? padding + row[i] : row[i] + padding;
      line += "  ";
    }
    line.erase(line.find_last_not_of(' ') + 1);
    result += line + "\n";
  }
  return result;
}

}  // namespace sidecall::cli
