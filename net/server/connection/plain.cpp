// A connection without TLS; see byte_stream.h.
#include <sys/socket.h>

#include <cerrno>

#include "byte_stream.h"

namespace sidecall::net {
namespace {

class Plain final : public ByteStream {
 public:
  explicit Plain(int fd) : fd_(fd) {}
  Result read(char* to, size_t most, size_t* got) override {
    return result(::recv(fd_, to, most, MSG_DONTWAIT), got);
  }
  Result write(const char* from, size_t bytes, size_t* written) override {
    return result(::send(fd_, from, bytes, MSG_DONTWAIT | MSG_NOSIGNAL), written);
  }
  void finish() override { ::shutdown(fd_, SHUT_WR); }

 private:
  static Result result(ssize_t count, size_t* bytes) {
    if (count > 0) {
      *bytes = static_cast<size_t>(count);
      return Result::kDone;
    }
    const bool is_again = count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
    return is_again ? Result::kAgain : Result::kClosed;
  }

  const int fd_;
};

}  // namespace

std::unique_ptr<ByteStream> make_plain_stream(int fd) { return std::make_unique<Plain>(fd); }

}  // namespace sidecall::net
