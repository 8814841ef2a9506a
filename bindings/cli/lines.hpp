// Reads lines from a descriptor in bounded memory; predict uses it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sidecall::cli {

class LineReader {
 public:
  // "-" is stdin. Failure with kBadInput when the file cannot be opened.
  explicit LineReader(const std::string& path);
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  // The next line, without "\n" or "\r\n"; valid until the next call. False at the end and after an interrupt.
  // Failure with kBadInput when reading fails or a line is longer than kMaxLineBytes.
  bool next(std::string_view& line);

  // True when the next line is here already; false when next() may have to wait for it.
  bool ready();

  int64_t number() const { return number_; }         // of the line that next() gave last, from 1
  const std::string& name() const { return name_; }  // of the file, as messages show it
  bool from_terminal() const;

  static constexpr size_t kMaxLineBytes = size_t{64} << 20;

 private:
  bool fill();
  void make_room();

  std::string name_;
  int fd_ = -1;
  int64_t number_ = 0;
  std::vector<char> buffer_;
  size_t start_ = 0;     // of the next line
  size_t searched_ = 0;  // no line ends before
  size_t end_ = 0;
  bool at_end_ = false;
};

}  // namespace sidecall::cli
