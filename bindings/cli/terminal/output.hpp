// Text for people and programs: a checked stdout, lines on stderr, and tables. Every command writes through this.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sidecall::cli {

// Buffers stdout and checks every write: a full disk is a Failure, thrown once; a reader that went away ends the process as SIGPIPE does.
class Output {
 public:
  void write(std::string_view text);
  void flush();
  void close();      // flushes; some file systems report a full disk only here
  bool try_flush();  // leaves the Failure to the next flush or close

 private:
  [[noreturn]] void fail();

  std::string buffer_;
  int error_ = 0;  // errno of the first write that failed
  bool reported_ = false;
};

Output& out();

// Answers 0, or the errno of the write that failed; `num_written` grows by the bytes that were written. Waits where `fd` does not block.
int write_all(int fd, std::string_view text, size_t* num_written = nullptr);

// One line on stderr, after what stdout holds so far, so that a terminal shows both in order.
void complain(std::string_view line);

// What errno says, in lower case as all messages are.
std::string error_text(int error);

// `text` with control characters written as \u001b and the like, so that a name from a foreign file
// cannot steer the terminal or fake a line. JSON keeps its meaning. kKeep: text of several lines.
enum class LineEnds { kEscape, kKeep };
std::string printable(std::string_view text, LineEnds line_ends = LineEnds::kEscape);

// At most `width` characters of a printable text, "..." at the end where it was cut.
std::string shortened(std::string_view text, size_t width);

// "1 row", "2 rows".
std::string counted(int64_t number, std::string_view noun);

// A number as people read it, 2007 or 32.1; and a difference, of which two digits say enough: 1.4e-06.
std::string short_number(double value);
std::string short_difference(double value);

// 1.5 us, 20.25 ms, 3 min 5 s.
std::string duration_text(double ns);

// Columns as wide as their cells, two spaces apart, under a header where one is given. `layout` has a letter for each column: l is left, r is right.
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
