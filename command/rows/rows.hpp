// Reads rows of text from a descriptor in bounded memory: lines, or CSV records, whose quoted
// fields may contain line ends. Used by predict and diff.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sidecall::cli {

// One row in the memory of the reader, without its line end. The byte after the row is readable and
// cannot be part of a number.
struct Row {
  std::string_view text;
  size_t offset = 0;  // from the beginning of its batch; only for the reader
  int64_t line = 0;   // line number of its first character, from 1
  bool is_too_long = false;
};

enum class RowFormat { kLines, kCsv };

class RowReader {
 public:
  // Opens a file; "-" is stdin. Throws a Failure with kBadInput if the file cannot be opened.
  RowReader(const std::string& path, size_t max_row_bytes);
  ~RowReader();
  RowReader(const RowReader&) = delete;
  RowReader& operator=(const RowReader&) = delete;

  // Returns the first byte that is neither white space nor part of a byte order mark, or 0 if there
  // is none. Must be called before the first next().
  char first_byte();
  void set_format(RowFormat format) { format_ = format; }

  // Replaces the contents of `rows` by up to `max_rows` rows, which are valid until the next call.
  // Waits only for the first row; takes more rows only if their input is already available. Returns
  // false at the end of input and after an interrupt. Throws a Failure with kBadInput if reading
  // fails.
  bool next(size_t max_rows, std::vector<Row>& rows);

  // If `skip` is set, the text of a row of more than max_row_bytes is skipped, and the row is
  // returned with is_too_long. Only for lines.
  void skip_long_rows(bool skip) { skips_long_ = skip; }
  std::string too_long() const;  // the error text for such a row

  const std::string& name() const { return name_; }  // the name of the file in messages
  bool from_terminal() const;
  int64_t bytes_read() const { return bytes_read_; }
  int64_t bytes_total() const;  // the size of the file; 0 if it is unknown

 private:
  enum class Place { kFieldStart, kField, kQuotes, kAfterQuote };

  bool find_row();
  bool find_csv_end();
  bool take_row(std::vector<Row>& rows);
  bool fill();
  bool has_more_now() const;
  void make_room();
  void begin_to_skip();
  [[noreturn]] void fail_too_long() const;

  std::string name_;
  int fd_ = -1;
  size_t max_row_bytes_;
  RowFormat format_ = RowFormat::kLines;
  std::vector<char> buffer_;
  size_t batch_ = 0;  // where the first row of the batch begins
  size_t start_ = 0;  // where the next row begins
  size_t at_ = 0;     // the next row does not end before this
  size_t end_ = 0;    // the end of the input so far; kSlack more bytes are readable
  Place place_ = Place::kFieldStart;
  int64_t line_ = 1;         // line number of start_
  int64_t ends_inside_ = 0;  // line ends inside the current row so far
  int64_t bytes_read_ = 0;
  bool at_end_ = false;
  bool began_ = false;
  bool skips_long_ = false;
  bool is_skipping_ = false;
};

}  // namespace sidecall::cli
