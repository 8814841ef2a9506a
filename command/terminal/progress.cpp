// Prints the progress line, each time over the previous one; see progress.hpp.
#include "progress.hpp"

#include <unistd.h>

#include <string>

#include "output.hpp"

namespace sidecall::cli {
namespace {

constexpr auto kFirst = std::chrono::seconds(2);
constexpr auto kBetween = std::chrono::milliseconds(500);

// 1234567 as "1,234,567".
std::string grouped(int64_t number) {
  std::string text = std::to_string(number);
  for (auto at = static_cast<int64_t>(text.size()) - 3; at > 0; at -= 3)
    text.insert(static_cast<size_t>(at), 1, ',');
  return text;
}

void write_raw(const std::string& text) {
  if (::write(STDERR_FILENO, text.data(), text.size()) < 0) return;  // an error does not matter
}

}  // namespace

// If the answers go to the same terminal, they show the progress themselves.
Progress::Progress(const RowReader& reader)
    : reader_(reader),
      is_shown_(::isatty(STDERR_FILENO) == 1 && ::isatty(STDOUT_FILENO) != 1 &&
                !reader.from_terminal()),
      began_(Clock::now()),
      next_(began_ + kFirst) {}

void Progress::add(int64_t rows) {
  rows_ += rows;
  if (!is_shown_) return;
  const auto now = Clock::now();
  if (now < next_) return;
  next_ = now + kBetween;
  const double seconds = std::chrono::duration<double>(now - began_).count();
  std::string text = "\r" + grouped(rows_) + " rows, " +
                     grouped(static_cast<int64_t>(static_cast<double>(rows_) / seconds)) +
                     " a second";
  if (const int64_t total = reader_.bytes_total(); total > 0)
    text += ", " + std::to_string(reader_.bytes_read() * 100 / total) + "%";
  write_raw(text + "\x1b[K");
  is_on_screen_ = true;
}

void Progress::clear() {
  if (is_on_screen_) write_raw("\r\x1b[K");
  is_on_screen_ = false;
}

}  // namespace sidecall::cli
