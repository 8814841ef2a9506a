// Writes text for people and programs: stdout, where every write is checked for errors, lines on
// stderr, and tables. Every command writes through this file.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sidecall::cli {

// Buffers stdout and checks every write. A failed write, such as on a full disk, throws a Failure
// once. If the reader has closed the pipe, SIGPIPE ends the process.
class Output {
 public:
  void write(std::string_view text);
  void flush();
  void close();      // flushes; some file systems report a full disk only in close()
  bool try_flush();  // like flush, but a Failure is only thrown by the next flush or close

 private:
  [[noreturn]] void fail();

  std::string buffer_;
  int error_ = 0;  // errno of the first write that failed
  bool reported_ = false;
};

Output& out();

// Writes all of `text`. Returns 0, or the errno of the write that failed. Adds the number of bytes
// that were written to `num_written`. If `fd` is nonblocking, waits until it is writable.
int write_all(int fd, std::string_view text, size_t* num_written = nullptr);

// Writes one line to stderr. Flushes stdout first, so that a terminal shows both in order.
void complain(std::string_view line);

// The text of an errno, beginning in lower case like all messages.
std::string error_text(int error);

// Returns `text` with control characters escaped, such as \u001b, so that a name from an untrusted
// file cannot control the terminal or fake a line of output. JSON text keeps its meaning,
// because \u001b is an escape in JSON too. kKeep keeps line feeds, for text of several lines.
enum class LineEnds { kEscape, kKeep };
std::string printable(std::string_view text, LineEnds line_ends = LineEnds::kEscape);

// Returns at most `width` characters of a printable text; a text that was cut ends with "...".
std::string shortened(std::string_view text, size_t width);

// Returns "1 row", "2 rows" and so on.
std::string counted(int64_t number, std::string_view noun);

// Format a number for people, such as 2007 or 32.1, and a difference with two significant digits,
// such as 1.4e-06.
std::string short_number(double value);
std::string short_difference(double value);

// Formats a duration for people: 1.5 us, 20.25 ms, 3 min 5 s.
std::string duration_text(double ns);

// A text table. Columns are as wide as their widest cell and two spaces apart; a header is
// optional. `layout` has one letter for each column: l aligns left, r aligns right.
class Table {
 public:
  explicit Table(std::string layout, std::vector<std::string> header = {})
      : layout_(std::move(layout)), header_(std::move(header)) {}
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  std::string text(std::string_view indent = "") const;

 private:
  std::string layout_;
  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace sidecall::cli
