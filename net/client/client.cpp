// What the clients for HTTP and gRPC share; see client.h.
#include "client.h"

#include <fcntl.h>
#include <sidecall/sidecall.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "loop.h"
#include "net/common/error.h"

namespace sidecall::net {
namespace {

constexpr size_t kMaxTokenBytes = 65536;

// A plain file. A pipe or a device would let the caller wait, so they count as none.
class File {
 public:
  explicit File(const std::string& path)
      : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    struct stat status{};
    is_plain_ = fd_ >= 0 && fstat(fd_, &status) == 0 && S_ISREG(status.st_mode);
  }
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  bool is_plain() const { return is_plain_; }

  std::string read(size_t most) const {
    std::string text(most, '\0');
    size_t length = 0;
    while (is_plain_ && length < most) {
      const ssize_t got = ::read(fd_, text.data() + length, most - length);
      if (got <= 0) break;
      length += static_cast<size_t>(got);
    }
    text.resize(length);
    return text;
  }

 private:
  const int fd_;
  bool is_plain_ = false;
};

// The token is read for each request, so that a file that is replaced takes effect at once.
std::string read_token(const std::string& path) {
  std::string token = File(path).read(kMaxTokenBytes + 1);
  token.resize(token.find_last_not_of(" \t\r\n") + 1);
  const bool is_valid =
      !token.empty() && token.size() <= kMaxTokenBytes &&
      std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c <= '~'; });
  if (!is_valid)
    throw Error(SIDECALL_DENIED,
                "token: expected a file with one line of visible ASCII, got none or another file");
  return token;
}

void require_file(const char* option, const std::string& path) {
  if (!path.empty() && !File(path).is_plain())
    throw Error(SIDECALL_FILE_NOT_FOUND,
                std::string("uri: ") + option + ": expected a file that can be read, got none");
}

}  // namespace

int64_t left_ms(Clock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
  return std::max<int64_t>(left.count(), 1);
}

std::unique_ptr<Client> make_client(const std::string& uri) {
  auto address = std::make_shared<const Address>(read_address(uri));
  require_file("ca", address->ca);
  require_file("cert", address->cert);
  require_file("key", address->key);
  const Protocol protocol = address->protocol;
  return protocol == Protocol::kHttp ? make_http_client(std::move(address))
                                     : make_grpc_client(std::move(address));
}

std::shared_ptr<Exchange> Client::make_exchange(const std::string& path,
                                                Clock::time_point deadline) const {
  auto exchange = std::make_shared<Exchange>();
  exchange->address = address_;
  exchange->deadline = deadline;
  exchange->url = address_->is_secure ? "https://" : "http://";
  exchange->url += address_->socket.empty()
                       ? address_->host.name + ":" + std::to_string(address_->host.port)
                       : "localhost";
  exchange->url += address_->prefix + path;
  if (!address_->token.empty()) exchange->token = read_token(address_->token);
  return exchange;
}

Reply Client::finish(const std::shared_ptr<Exchange>& exchange) {
  submit(exchange);
  if (!exchange->wait(exchange->deadline)) {
    cancel(exchange);
    throw Error(SIDECALL_TIMEOUT,
                exchange->address->label + ": expected an answer in time, got none");
  }
  return std::move(exchange->reply());
}

void Client::fail(int32_t status, const std::string& what, const std::string& text) const {
  throw Error(status, address_->label + ": " + what + (text.empty() ? "" : ": " + text));
}

void Client::require_answer(const Reply& reply) const {
  switch (reply.transfer) {
    case Transfer::kAnswered:
      return;
    case Transfer::kUnreachable:
      fail(SIDECALL_UNREACHABLE, "the server cannot be reached", reply.problem);
    case Transfer::kBroken:
      fail(SIDECALL_PEER_DIED, "the connection ended before the answer", reply.problem);
    case Transfer::kTimedOut:
      fail(SIDECALL_TIMEOUT, "expected an answer in time, got none", "");
    case Transfer::kInvalid:
      fail(SIDECALL_PROTOCOL, "expected an answer in HTTP", reply.problem);
    case Transfer::kNoMemory:
      break;
  }
  fail(SIDECALL_OUT_OF_MEMORY, "out of memory", "");
}

}  // namespace sidecall::net
