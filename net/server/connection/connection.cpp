// Moves the bytes of a connection; see connection.h.
#include "connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <exception>
#include <utility>

namespace sidecall::net {
namespace {

constexpr size_t kReadBytes = size_t{64} * 1024;
// How much a connection reads before others get their turn.
constexpr size_t kMaxReadPerTurn = size_t{1024} * 1024;
constexpr size_t kMaxOutput = size_t{256} * 1024;  // that waits before more is produced
constexpr auto kDrainGrace = std::chrono::milliseconds(100);
constexpr auto kLongestHandshake = std::chrono::seconds(10);
constexpr auto kLongestStall = std::chrono::seconds(30);
// After the last answer, the server reads for a moment what the client still sends.
constexpr auto kLongestFarewell = std::chrono::seconds(2);
constexpr size_t kMaxFarewellBytes = size_t{1024} * 1024;

}  // namespace

void Output::add(std::string bytes) {
  if (bytes.empty()) return;
  bytes_ += bytes.size();
  constexpr size_t kSmall = 4096;
  // The first part may be sent only partly. With TLS, the next attempt must pass the same rest.
  if (parts_.size() > 1 && bytes.size() <= kSmall && parts_.back().size() <= kSmall)
    parts_.back().append(bytes);
  else parts_.push_back(std::move(bytes));
}

void Output::remove(size_t count) {
  bytes_ -= count;
  sent_ += count;
  if (sent_ < parts_.front().size()) return;
  parts_.pop_front();
  sent_ = 0;
}

Connection::Connection(Descriptor fd, std::unique_ptr<ByteStream> stream, Poller* poller,
                       Handshakes* handshakes, Router* router, ServerContext* server)
    : owner_(std::move(fd)),
      fd_(owner_.get()),
      poller_(poller),
      handshakes_(handshakes),
      router_(router),
      server_(*server),
      memory_(&server->metrics, server->options.max_memory_bytes),
      stream_(std::move(stream)),
      opened_(Clock::now()),
      progressed_(opened_) {
  server_.metrics.connections.fetch_add(1, std::memory_order_relaxed);
}

Connection::~Connection() {
  session_.reset();
  server_.metrics.connections.fetch_sub(1, std::memory_order_relaxed);
}

void Connection::begin_session() {
  const bool is_http2 = server_.address.is_grpc || stream_->is_http2();
  session_ = is_http2 ? make_http2_session(router_, &server_, this)
                      : make_http1_session(router_, &server_, this);
}

void Connection::start() { watch(); }

// Hands the stream to a worker, once the client has sent something.
void Connection::begin_handshake() {
  is_handshaking_ = true;
  watch();
  try {
    handshakes_->begin(this, stream_.get());
  } catch (const std::exception&) {
    is_handshaking_ = false;
    close();  // no memory or thread is left
  }
}

void Connection::on_handshake(ByteStream::Result result) noexcept {
  is_handshaking_ = false;
  if (is_closed_) return;
  if (result == ByteStream::Result::kClosed) return close();
  is_handling_ = true;
  try {
    if (result == ByteStream::Result::kDone) {
      // A client without TCP_NODELAY waits for an acknowledgement before it sends its first
      // request, and the server may have nothing else to send (TLS 1.3 without tickets).
      const int acknowledges_now = 1;
      ::setsockopt(fd_, IPPROTO_TCP, TCP_QUICKACK, &acknowledges_now, sizeof acknowledges_now);
      begin_session();
      read();  // the first request often comes with the end of the handshake
      if (!is_closed_) send();
    }
  } catch (const std::exception&) {
    close();  // no memory is left
  }
  end_handling();
}

void Connection::on_events(uint32_t events) {
  if (is_closed_ || is_handshaking_) return;
  if (session_ == nullptr && handshakes_ != nullptr) return begin_handshake();
  is_handling_ = true;
  try {
    if (session_ == nullptr) begin_session();
    const bool has_ended = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    // A client that goes away cancels its run.
    if (session_ != nullptr && has_ended && !may_read()) close();
    if (session_ != nullptr && (has_ended || (events & EPOLLIN) != 0)) read();
    if (!is_closed_) send();
  } catch (const std::exception&) {
    close();  // no memory is left
  }
  end_handling();
}

// A client that does not read its answers must wait with further requests.
bool Connection::may_read() const {
  return is_finished_ || (session_->wants_input() && output_.bytes() < kMaxOutput);
}

void Connection::read() {
  static thread_local std::array<char, kReadBytes> buffer;
  size_t total = 0;
  while (!is_closed_ && total < kMaxReadPerTurn) {
    if (!may_read()) return;
    size_t got = 0;
    const ByteStream::Result result = stream_->read(buffer.data(), buffer.size(), &got);
    if (result == ByteStream::Result::kClosed) return close();
    if (result == ByteStream::Result::kAgain) return;
    total += got;
    // What arrives after the end is dropped. A connection that is closed with unread bytes is
    // reset, and then the client may not get the last answer.
    if (!is_finished_) session_->receive(buffer.data(), got);
    else if ((dropped_ += got) > kMaxFarewellBytes) return close();
    if (got < buffer.size() && !stream_->has_buffered()) return;
  }
}

void Connection::send() {
  if (session_ == nullptr || is_finished_) return;
  for (;;) {
    const bool was_empty = output_.is_empty();
    if (output_.bytes() < kMaxOutput) session_->produce(&output_);
    if (output_.is_empty()) break;
    if (was_empty) progressed_ = Clock::now();
    size_t written = 0;
    const ByteStream::Result result = stream_->write(output_.data(), output_.length(), &written);
    if (result == ByteStream::Result::kClosed) return close();
    if (result == ByteStream::Result::kAgain) return;
    output_.remove(written);
    progressed_ = Clock::now();
  }
  if (!session_->is_over()) return;
  stream_->finish();
  is_finished_ = true;
  progressed_ = Clock::now();
}

void Connection::flush() {
  if (is_handling_ || is_closed_) return;
  is_handling_ = true;
  try {
    send();
  } catch (const std::exception&) {
    close();
  }
  end_handling();
}

void Connection::end_handling() noexcept {
  is_handling_ = false;
  if (must_close_ && !is_closed_) close();
  if (is_closed_) return;
  try {
    watch();
  } catch (const std::exception&) {
    close();  // it cannot be watched any more
  }
}

void Connection::fail() noexcept {
  must_close_ = true;
  if (!is_handling_ && !is_closed_) close();
}

void Connection::watch() {
  uint32_t events = EPOLLRDHUP;
  if (is_handshaking_) events = 0;
  else if (session_ == nullptr) events = stream_->wants_write() ? EPOLLOUT : EPOLLIN;
  else if (may_read()) events |= EPOLLIN;
  if (!output_.is_empty()) events |= EPOLLOUT;
  if (events == watched_) return;
  if (events == 0) poller_->remove(fd_);  // a hang-up would be reported again and again
  else if (watched_ == 0) poller_->add(fd_, events, this);
  else poller_->change(fd_, events, this);
  watched_ = events;
}

void Connection::drain(Clock::time_point now) {
  if (is_closed_) return;
  if (drained_ == Clock::time_point()) drained_ = now;
  const bool is_over = now - drained_ >= kDrainGrace;
  if (session_ != nullptr) session_->drain(is_over);
  else if (is_over) return close();
  flush();
}

bool Connection::is_busy(Clock::time_point now) const {
  if (is_closed_ || is_finished_) return false;
  const bool is_in_grace = drained_ != Clock::time_point() && now - drained_ < kDrainGrace;
  if (session_ == nullptr) return is_in_grace;
  return is_in_grace || session_->is_busy() || session_->is_over() || !output_.is_empty();
}

bool Connection::is_idle() const {
  if (is_closed_ || is_handshaking_) return false;
  return session_ == nullptr || is_finished_ || (!session_->is_busy() && output_.is_empty());
}

bool Connection::has_input() noexcept {
  int bytes = 0;
  if (::ioctl(fd_, FIONREAD, &bytes) != 0 || bytes == 0) return false;
  if (output_.is_empty()) progressed_ = Clock::now();
  return true;
}

void Connection::check_time(Clock::time_point now) {
  if (is_closed_) return;
  const bool is_late = session_ == nullptr   ? now - opened_ > kLongestHandshake
                       : is_finished_        ? now - progressed_ > kLongestFarewell
                       : !output_.is_empty() ? now - progressed_ > kLongestStall
                                             : false;
  if (is_late) {
    if (!is_finished_) server_.metrics.broken.fetch_add(1, std::memory_order_relaxed);
    return close();
  }
  if (session_ == nullptr || is_finished_) return;
  session_->check_time(now);
  flush();
}

void Connection::close() noexcept {
  is_closed_ = true;
  if (session_ != nullptr && session_->is_broken())
    server_.metrics.broken.fetch_add(1, std::memory_order_relaxed);
  session_.reset();  // ends its runs
  poller_->remove(fd_);
}

}  // namespace sidecall::net
