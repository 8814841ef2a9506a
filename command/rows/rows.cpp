// Reads rows with read(); see rows.hpp. One buffer holds a batch, and grows to the size of the
// longest row.
#include "rows.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "command.hpp"
#include "terminal/output.hpp"
#include "terminal/platform.hpp"

namespace sidecall::cli {
namespace {

constexpr size_t kFirstBytes = 1 << 16;
constexpr size_t kBlockBytes = 1 << 20;  // limit of a batch and of a read; a row may be longer
// Readable bytes after the last row, so that number parsers need not check for the end.
constexpr size_t kSlack = 16;

}  // namespace

RowReader::RowReader(const std::string& path, size_t max_row_bytes)
    : name_(path == "-" ? "<stdin>" : path), max_row_bytes_(max_row_bytes), buffer_(kFirstBytes) {
  fd_ = path == "-" ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd_ == -1) throw Failure(kBadInput, name_ + ": " + error_text(errno));
}

RowReader::~RowReader() {
  if (fd_ > STDERR_FILENO) ::close(fd_);
}

bool RowReader::from_terminal() const { return ::isatty(fd_) == 1; }

int64_t RowReader::bytes_total() const {
  struct stat about = {};
  return ::fstat(fd_, &about) == 0 && S_ISREG(about.st_mode) ? static_cast<int64_t>(about.st_size)
                                                             : 0;
}

char RowReader::first_byte() {
  for (size_t at = start_;; ++at) {
    while (at >= end_) {
      if (end_ >= kBlockBytes || !fill()) return 0;
    }
    const char c = buffer_[at];
    const bool is_mark = at < 3 && c == "\xEF\xBB\xBF"[at];
    if (!is_mark && c != ' ' && c != '\t' && c != '\r' && c != '\n') return c;
  }
}

bool RowReader::next(size_t max_rows, std::vector<Row>& rows) {
  rows.clear();
  batch_ = start_;
  while (rows.size() < max_rows && start_ - batch_ < kBlockBytes &&
         !(noted_interrupt() && rows.empty())) {
    if (find_row()) {
      if (!take_row(rows)) break;
    } else if (at_end_ || noted_interrupt() || (!rows.empty() && !has_more_now())) {
      break;
    } else if (is_skipping_ || end_ - start_ > max_row_bytes_) {
      if (!rows.empty()) break;  // return the earlier rows first
      begin_to_skip();
      fill();
    } else {
      fill();
    }
  }
  // The buffer does not move any more, so the rows can now point into it.
  for (Row& row : rows)
    row.text = std::string_view(buffer_.data() + batch_ + row.offset, row.text.size());
  return !rows.empty();
}

// Appends the row that find_row() found to `rows`. Returns false if the caller must handle the
// earlier rows first.
bool RowReader::take_row(std::vector<Row>& rows) {
  size_t length = at_ - start_;
  const bool is_too_long = is_skipping_ || length > max_row_bytes_;
  if (is_too_long && !(skips_long_ && format_ == RowFormat::kLines)) {
    if (rows.empty()) fail_too_long();
    at_ = start_;
    place_ = Place::kFieldStart;
    ends_inside_ = 0;
    return false;
  }
  if (length > 0 && buffer_[start_ + length - 1] == '\r') --length;
  Row row{std::string_view(buffer_.data() + start_, is_too_long ? 0 : length), start_ - batch_,
          line_, is_too_long};
  // Skip the byte order mark that some editors write at the beginning of a file.
  if (!began_ && row.text.substr(0, 3) == "\xEF\xBB\xBF") {
    row.text.remove_prefix(3);
    row.offset += 3;
  }
  began_ = true;
  is_skipping_ = false;
  rows.push_back(row);
  line_ += ends_inside_ + 1;
  ends_inside_ = 0;
  place_ = Place::kFieldStart;
  start_ = at_ = std::min(at_ + 1, end_);
  return true;
}

// Looks for the end of the next row. Returns true if a whole row lies between start_ and at_.
bool RowReader::find_row() {
  if (format_ == RowFormat::kLines) {
    const void* found = std::memchr(buffer_.data() + at_, '\n', end_ - at_);
    at_ = found ? static_cast<size_t>(static_cast<const char*>(found) - buffer_.data()) : end_;
    if (found) return true;
  } else if (find_csv_end()) {
    return true;
  }
  return at_end_ && (start_ < end_ || is_skipping_);  // the last row, without a line end
}

bool RowReader::find_csv_end() {
  const char* data = buffer_.data();
  if (at_ == start_ && place_ == Place::kFieldStart) {
    // Fast path: most rows contain no quote.
    const auto* found = static_cast<const char*>(std::memchr(data + at_, '\n', end_ - at_));
    if (found && !std::memchr(data + at_, '"', static_cast<size_t>(found - data) - at_)) {
      at_ = static_cast<size_t>(found - data);
      return true;
    }
    if (!began_ && end_ - start_ >= 3 && std::memcmp(data + start_, "\xEF\xBB\xBF", 3) == 0)
      at_ += 3;
  }
  for (; at_ < end_; ++at_) {
    const char c = data[at_];
    if (place_ == Place::kQuotes) {
      const auto* quote = static_cast<const char*>(std::memchr(data + at_, '"', end_ - at_));
      const size_t to = quote ? static_cast<size_t>(quote - data) : end_;
      ends_inside_ += std::count(data + at_, data + to, '\n');
      at_ = to;
      if (!quote) return false;
      place_ = Place::kAfterQuote;
    } else if (c == '\n') {
      return true;
    } else if (c == '"' && place_ != Place::kField) {
      place_ = Place::kQuotes;  // the opening quote of a field, or the second of a doubled quote
    } else {
      place_ = c == ',' ? Place::kFieldStart : Place::kField;
    }
  }
  return false;
}

std::string RowReader::too_long() const {
  const bool is_whole = max_row_bytes_ % (1 << 20) == 0;
  const std::string most = is_whole ? std::to_string(max_row_bytes_ >> 20) + " MiB"
                                    : counted(static_cast<int64_t>(max_row_bytes_), "byte");
  return "expected a line of at most " + most + ", got a longer one";
}

void RowReader::fail_too_long() const {
  throw InputFailure(name_ + ":" + std::to_string(line_) + ":1: " + too_long());
}

// Called when the next row is already longer than allowed and its end has not been read yet.
void RowReader::begin_to_skip() {
  if (!skips_long_ || format_ == RowFormat::kCsv) fail_too_long();
  is_skipping_ = true;
  batch_ = start_ = at_ = end_ = 0;
}

bool RowReader::has_more_now() const {
  pollfd poll = {fd_, POLLIN, 0};
  return ::poll(&poll, 1, 0) == 1;
}

// Reads more input. Returns false at the end of input or after an interrupt.
bool RowReader::fill() {
  if (end_ + kSlack >= buffer_.size()) make_room();
  // If reading would block, write the answers so far first, so that the client does not wait for
  // them.
  if (!has_more_now()) out().flush();
  for (;;) {
    if (!wait_readable(fd_)) return false;
    const ssize_t got = ::read(fd_, buffer_.data() + end_, buffer_.size() - end_ - kSlack);
    if (got > 0) {
      end_ += static_cast<size_t>(got);
      bytes_read_ += got;
      buffer_[end_] = '\n';  // terminates a number at the end of the input
      return true;
    }
    if (got == 0) {
      at_end_ = true;
      return false;
    }
    if (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)
      throw Failure(kBadInput, name_ + ": " + error_text(errno));
  }
}

// Moves the batch to the beginning of the buffer, and doubles the buffer if the batch fills half of
// it or more.
void RowReader::make_room() {
  std::memmove(buffer_.data(), buffer_.data() + batch_, end_ - batch_);
  start_ -= batch_;
  at_ -= batch_;
  end_ -= batch_;
  batch_ = 0;
  if (end_ >= buffer_.size() / 2) buffer_.resize(buffer_.size() * 2);
}

}  // namespace sidecall::cli
