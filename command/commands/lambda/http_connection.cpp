// Connects, sends and reads replies; see http_connection.hpp. The parser follows the grammar of RFC
// 9112 strictly: it returns a whole reply, or fails and says what it expected.
#include "http_connection.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <memory>

#include "command.hpp"
#include "terminal/output.hpp"
#include "terminal/platform.hpp"

namespace sidecall::cli {
namespace {

constexpr time_t kQuietSeconds = 10;
constexpr size_t kMaxHeadBytes = size_t{64} << 10;
constexpr size_t kMaxBodyBytes = size_t{64} << 20;  // an event has at most 6 MB
constexpr size_t kReadBytes = size_t{64} << 10;

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

bool is_token(std::string_view text) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kMarks.find(c) != std::string_view::npos;
  });
}

bool is_value(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return c == '\t' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7F);
  });
}

// A whole number without sign in this base, at most kMaxBodyBytes.
bool read_size(std::string_view text, int base, size_t* size) {
  const auto read = std::from_chars(text.data(), text.data() + text.size(), *size, base);
  return !text.empty() && read.ec == std::errc() && read.ptr == text.data() + text.size() &&
         *size <= kMaxBodyBytes;
}

// Waits for a connect() that a signal interrupted, and which goes on meanwhile. Returns 0 or errno.
int await_connection(int fd) {
  pollfd poll = {fd, POLLOUT, 0};
  int result = 0;
  do result = ::poll(&poll, 1, static_cast<int>(kQuietSeconds) * 1000);
  while (result == -1 && errno == EINTR);
  if (result == 0) return ETIMEDOUT;
  int failure = 0;
  socklen_t size = sizeof failure;
  if (result == -1 || ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &size) == -1) return errno;
  return failure;
}

}  // namespace

const std::string& HttpReply::header(std::string_view name) const {
  static const std::string nothing;
  const auto found = std::find_if(headers.begin(), headers.end(),
                                  [&](const auto& each) { return each.first == name; });
  return found == headers.end() ? nothing : found->second;
}

std::optional<HttpReply> HttpConnection::exchange(const std::string& head, std::string_view body,
                                                  Wait wait) {
  std::string request = head + "Host: " + address_ +
                        "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n";
  request += body;
  for (;;) {
    const bool is_kept = fd_ != -1;
    if (!is_kept) connect();
    // A reply may come before the whole request is sent, so a failed send is not an error yet.
    const bool is_sent = send(request);
    if (is_sent && wait == Wait::kUnlimited && !wait_readable(fd_)) return std::nullopt;
    if (receive()) break;
    // The other side has closed the idle connection: send the request again over a new one.
    close();
    if (!is_kept) fail_expected("a reply", "the end of the connection");
  }
  HttpReply reply = read_reply();
  if (!buffer_.empty()) fail_expected("the end of the reply", "more");
  if (lower(reply.header("connection")) == "close") close();
  return reply;
}

void HttpConnection::connect() {
  const size_t colon = address_.rfind(':');
  if (colon == std::string::npos) fail_expected("HOST:PORT", "another address");
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(address_.substr(0, colon).c_str(),
                                  address_.substr(colon + 1).c_str(), &hints, &found);
  if (error != 0) fail(std::string("cannot find the address: ") + ::gai_strerror(error));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(found, &::freeaddrinfo);
  fd_ = ::socket(found->ai_family, found->ai_socktype | SOCK_CLOEXEC, found->ai_protocol);
  if (fd_ == -1) fail("cannot make a socket: " + error_text(errno));
  const timeval limit = {kQuietSeconds, 0};
  const int yes = 1;
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);  // for connect() too
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  int failure = ::connect(fd_, found->ai_addr, found->ai_addrlen) == 0 ? 0 : errno;
  if (failure == EINTR) failure = await_connection(fd_);
  if (failure != 0) fail("cannot connect: " + error_text(failure));
}

void HttpConnection::close() {
  if (fd_ != -1) ::close(fd_);
  fd_ = -1;
  buffer_.clear();
}

bool HttpConnection::send(std::string_view request) {
  while (!request.empty()) {
    const ssize_t sent = ::send(fd_, request.data(), request.size(), MSG_NOSIGNAL);
    if (sent >= 0) request.remove_prefix(static_cast<size_t>(sent));
    else if (errno != EINTR) return false;
  }
  return true;
}

bool HttpConnection::receive() {
  const size_t before = buffer_.size();
  buffer_.resize(before + kReadBytes);
  ssize_t got = 0;
  do got = ::recv(fd_, buffer_.data() + before, kReadBytes, 0);
  while (got == -1 && errno == EINTR);
  const int error = errno;
  buffer_.resize(before + static_cast<size_t>(std::max<ssize_t>(got, 0)));
  if (got >= 0) return got > 0;
  if (error == EAGAIN)
    fail_expected("a byte within " + std::to_string(kQuietSeconds) + " seconds", "nothing");
  return false;  // the connection was reset
}

HttpReply HttpConnection::read_reply() {
  HttpReply reply;
  const std::string line = take_line("a status line");
  constexpr std::string_view kVersion = "HTTP/1.1 ";
  constexpr size_t kCodeEnd = kVersion.size() + 3;
  size_t code = 0;
  const bool is_status_line = line.compare(0, kVersion.size(), kVersion) == 0 &&
                              line.size() >= kCodeEnd &&
                              read_size(line.substr(kVersion.size(), 3), 10, &code) &&
                              (line.size() == kCodeEnd || line[kCodeEnd] == ' ') && code >= 200;
  if (!is_status_line) fail_expected("the status line of an HTTP/1.1 reply", "another line");
  reply.status = static_cast<int>(code);
  read_headers(&reply);
  const std::string& coding = reply.header("transfer-encoding");
  const std::string& length = reply.header("content-length");
  if (coding.empty() == length.empty())
    fail_expected("a Content-Length or a Transfer-Encoding",
                  coding.empty() ? "neither" : "both of them");
  size_t size = 0;
  if (lower(coding) == "chunked") read_chunks(&reply.body);
  else if (read_size(length, 10, &size)) take(size, &reply.body);
  else if (coding.empty())
    fail_expected("a Content-Length of at most " + std::to_string(kMaxBodyBytes), "another value");
  else fail_expected("the Transfer-Encoding chunked", "another one");
  return reply;
}

void HttpConnection::read_headers(HttpReply* reply) {
  size_t bytes = 0;
  for (;;) {
    const std::string line = take_line("a header");
    if (line.empty()) return;
    bytes += line.size();
    if (bytes > kMaxHeadBytes)
      fail_expected("headers of at most " + std::to_string(kMaxHeadBytes) + " bytes", "more");
    const size_t colon = line.find(':');
    std::string_view value = std::string_view(line).substr(std::min(colon, line.size() - 1) + 1);
    const auto is_blank = [](char c) { return c == ' ' || c == '\t'; };
    while (!value.empty() && is_blank(value.front())) value.remove_prefix(1);
    while (!value.empty() && is_blank(value.back())) value.remove_suffix(1);
    std::string name = lower(line.substr(0, colon));
    if (colon == std::string::npos || !is_token(name) || !is_value(value))
      fail_expected("a header NAME: VALUE", "another line");
    if ((name == "content-length" || name == "transfer-encoding") && !reply->header(name).empty())
      fail_expected("one " + name, "two");
    reply->headers.emplace_back(std::move(name), value);
  }
}

void HttpConnection::read_chunks(std::string* body) {
  for (;;) {
    const std::string line = take_line("the size of a chunk");
    size_t size = 0;
    if (!read_size(std::string_view(line).substr(0, line.find_first_of("; \t")), 16, &size) ||
        size > kMaxBodyBytes - body->size())
      fail_expected(
          "the size of a chunk, and at most " + std::to_string(kMaxBodyBytes) + " bytes in all",
          "another line");
    if (size == 0) break;
    take(size, body);
    if (!take_line("the end of a chunk").empty()) fail_expected("the end of a chunk", "more bytes");
  }
  HttpReply trailers;  // are read like headers, and not used
  read_headers(&trailers);
}

// Takes the bytes up to the next CR LF, and that too.
std::string HttpConnection::take_line(const char* what) {
  size_t end = 0;
  while ((end = buffer_.find("\r\n")) == std::string::npos) {
    if (buffer_.size() > kMaxHeadBytes)
      fail_expected(std::string(what) + " of at most " + std::to_string(kMaxHeadBytes) + " bytes",
                    "more");
    if (!receive()) fail_expected(what, "the end of the connection");
  }
  std::string line = buffer_.substr(0, end);
  buffer_.erase(0, end + 2);
  return line;
}

void HttpConnection::take(size_t count, std::string* out) {
  while (buffer_.size() < count) {
    if (!receive())
      fail_expected(std::to_string(count) + " bytes of a body",
                    std::to_string(buffer_.size()) + " bytes");
  }
  out->append(buffer_, 0, count);
  buffer_.erase(0, count);
}

void HttpConnection::fail(const std::string& message) {
  throw Failure(kEnvironment, "lambda: the Runtime API at " + address_ + ": " + message);
}

void HttpConnection::fail_expected(const std::string& expected, const std::string& got) {
  fail("expected " + expected + ", got " + got);
}

}  // namespace sidecall::cli
