// Reads rows of text from a descriptor in bounded memory: lines, or CSV records, whose quoted fields may hold line ends. Used by predict.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sidecall::cli {

// One row where it stands in the reader's memory, without its line end. A byte that ends any number follows it.
struct Row {
  std::string_view text;
  size_t offset = 0;  // from the begin of its batch; for the reader
  int64_t line = 0;   // of its first character, from 1
  bool is_too_long = false;
};

enum class RowFormat { kLines, kCsv };

class RowReader {
 public:
  // "-" is stdin. Failure with kBadInput when the file cannot be opened.
  RowReader(const std::string& path, size_t max_row_bytes);
  ~RowReader();
  RowReader(const RowReader&) = delete;
  RowReader& operator=(const RowReader&) = delete;

  // The first byte that is not blank, or 0 where there is none; a byte order mark is skipped. Before the first next().
  char first_byte();
  void set_format(RowFormat format) { format_ = format; }

  // Up to `max_rows` rows, valid until the next call, in place of what `rows` held. Waits for the first of them alone, unless
  // input is there already. False at the end of input and after an interrupt. Failure with kBadInput when reading fails.
  bool next(size_t max_rows, std::vector<Row>& rows);

  // A row of more than max_row_bytes is left out up to its line end, and given as one that is too long. Lines only.
  void skip_long_rows(bool skip) { skips_long_ = skip; }
  std::string too_long() const;  // what was expected of such a row, and what came

  const std::string& name() const { return name_; }  // of the file, as messages show it
  bool from_terminal() const;
  int64_t bytes_read() const { return bytes_read_; }
  int64_t bytes_total() const;  // 0 where nobody can tell

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
  size_t start_ = 0;  // of the next row
  size_t at_ = 0;     // no row ends before
  size_t end_ = 0;    // of what was read; some bytes more can be read
  Place place_ = Place::kFieldStart;
  int64_t line_ = 1;         // of start_
  int64_t ends_inside_ = 0;  // line ends inside of the row so far
  int64_t bytes_read_ = 0;
  bool at_end_ = false;
  bool began_ = false;
  bool skips_long_ = false;
  bool is_skipping_ = false;
};

}  // namespace sidecall::cli
