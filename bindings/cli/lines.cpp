// A line reader over read(): one buffer that grows to the longest line.
#include "lines.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "command.hpp"
#include "output.hpp"
#include "platform.hpp"

namespace sidecall::cli {
namespace {

constexpr size_t kFirstBytes = 1 << 17;

}  // namespace

LineReader::LineReader(const std::string& path) : name_(path == "-" ? "<stdin>" : path), buffer_(kFirstBytes) {
  fd_ = path == "-" ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd_ == -1) throw Failure(kBadInput, name_ + ": " + error_text(errno));
}

LineReader::~LineReader() {
  if (fd_ > STDERR_FILENO) ::close(fd_);
}

bool LineReader::from_terminal() const { return ::isatty(fd_) == 1; }

bool LineReader::ready() {
  const void* found = std::memchr(buffer_.data() + searched_, '\n', end_ - searched_);
  searched_ = found ? static_cast<size_t>(static_cast<const char*>(found) - buffer_.data()) : end_;
  return found != nullptr;
}

bool LineReader::next(std::string_view& line) {
  while (!ready()) {
    if (!at_end_ && fill()) continue;
    if (start_ == end_ || noted_interrupt()) return false;
    break;  // the last line, without an end
  }
  size_t length = searched_ - start_;
  if (length > 0 && buffer_[start_ + length - 1] == '\r') --length;
  line = std::string_view(buffer_.data() + start_, length);
  start_ = searched_ = searched_ < end_ ? searched_ + 1 : end_;
  if (++number_ == 1 && line.substr(0, 3) == "\xEF\xBB\xBF") line.remove_prefix(3);  // a byte order mark, as some editors write it
  return true;
}

// Reads more; false at the end of input or after an interrupt.
bool LineReader::fill() {
  make_room();
  for (;;) {
    if (!wait_readable(fd_)) return false;
    const ssize_t got = ::read(fd_, buffer_.data() + end_, buffer_.size() - end_);
    if (got > 0) {
      end_ += static_cast<size_t>(got);
      return true;
    }
    if (got == 0) {
      at_end_ = true;
      return false;
    }
    if (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK) throw Failure(kBadInput, name_ + ": " + error_text(errno));
  }
}

void LineReader::make_room() {
  if (start_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + start_, end_ - start_);
    searched_ -= start_;
    end_ -= start_;
    start_ = 0;
  }
  if (end_ < buffer_.size()) return;
  if (buffer_.size() >= kMaxLineBytes) {
    const std::string megabytes = std::to_string(kMaxLineBytes >> 20);
    throw Failure(kBadInput,
                  name_ + ":" + std::to_string(number_ + 1) + ": expected a line of at most " + megabytes + " MiB, got a longer one");
  }
  buffer_.resize(buffer_.size() * 2);
}

}  // namespace sidecall::cli
