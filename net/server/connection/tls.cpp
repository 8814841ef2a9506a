// A connection with TLS 1.2 or 1.3, by Mbed TLS; see byte_stream.h.
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>
#include <sidecall/sidecall.h>
#include <sys/socket.h>

#include <cerrno>
#include <mutex>
#include <new>
#include <string>
#include <utility>

#include "byte_stream.h"
#include "net/common/error.h"
#include "net/server/credentials/tls_identity.h"
#include "net/server/credentials/watched_files.h"

namespace sidecall::net {
namespace {

int send_bytes(void* fd, const unsigned char* data, size_t bytes) {
  const ssize_t sent = ::send(*static_cast<int*>(fd), data, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent >= 0) return static_cast<int>(sent);
  return errno == EAGAIN || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_WRITE
                                           : MBEDTLS_ERR_NET_SEND_FAILED;
}

int receive_bytes(void* fd, unsigned char* data, size_t bytes) {
  const ssize_t got = ::recv(*static_cast<int*>(fd), data, bytes, MSG_DONTWAIT);
  if (got >= 0) return static_cast<int>(got);
  return errno == EAGAIN || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_READ
                                           : MBEDTLS_ERR_NET_RECV_FAILED;
}

class Tls final : public ByteStream {
 public:
  Tls(int fd, std::shared_ptr<const TlsIdentity> identity)
      : fd_(fd), identity_(std::move(identity)) {
    mbedtls_ssl_init(&ssl_);
  }
  ~Tls() override { mbedtls_ssl_free(&ssl_); }

  Result handshake() override {
    if (identity_->refuses_all) return Result::kClosed;
    if (!is_set_up_) set_up();
    return result(mbedtls_ssl_handshake(&ssl_));
  }

  Result read(char* to, size_t most, size_t* got) override {
    const int count = mbedtls_ssl_read(&ssl_, reinterpret_cast<unsigned char*>(to), most);
    if (count <= 0) return count == 0 ? Result::kClosed : result(count);
    *got = static_cast<size_t>(count);
    return Result::kDone;
  }

  Result write(const char* from, size_t bytes, size_t* written) override {
    const int count = mbedtls_ssl_write(&ssl_, reinterpret_cast<const unsigned char*>(from), bytes);
    if (count <= 0) return result(count);
    *written = static_cast<size_t>(count);
    return Result::kDone;
  }

  bool has_buffered() const override { return mbedtls_ssl_check_pending(&ssl_) != 0; }
  bool wants_write() const override { return wants_write_; }

  void finish() override {
    mbedtls_ssl_close_notify(&ssl_);
    ::shutdown(fd_, SHUT_WR);
  }

  bool is_http2() const override {
    const char* const protocol = mbedtls_ssl_get_alpn_protocol(&ssl_);
    return protocol != nullptr && std::string(protocol) == "h2";
  }

 private:
  // Takes about 40 KiB, so it waits until the client has sent something.
  void set_up() {
    if (mbedtls_ssl_setup(&ssl_, &identity_->config) != 0) throw std::bad_alloc();
    mbedtls_ssl_set_bio(&ssl_, &fd_, send_bytes, receive_bytes, nullptr);
    is_set_up_ = true;
  }

  Result result(int code) {
    wants_write_ = code == MBEDTLS_ERR_SSL_WANT_WRITE;
    if (code == 0) return Result::kDone;
    const bool is_again = wants_write_ || code == MBEDTLS_ERR_SSL_WANT_READ ||
                          code == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET;
    return is_again ? Result::kAgain : Result::kClosed;
  }

  int fd_;
  const std::shared_ptr<const TlsIdentity> identity_;  // outlives the session
  mbedtls_ssl_context ssl_{};
  bool is_set_up_ = false;
  bool wants_write_ = false;
};

class FileTls final : public TlsContext {
 public:
  explicit FileTls(const ServerAddress& address)
      : address_(address), files_({address.cert, address.key, address.client_ca}) {
    TlsTexts texts;
    texts.read_own(address_);
    if (!address_.client_ca.empty()) texts.read_authorities(address_);
    take(texts);
    files_.note_read();
  }

  std::unique_ptr<ByteStream> make_stream(int fd) const override {
    return std::make_unique<Tls>(fd, identity());
  }
  int64_t expires() const override { return identity()->expires(); }

  // While the certificate or its key cannot be used, the old ones stay in use. Without authorities
  // no certificate of a client can be checked, so all clients are refused.
  bool renew() override {
    if (!files_.is_due()) return false;
    TlsTexts next;
    std::string failure;
    try {
      next.read_own(address_);
      TlsIdentity(next, address_.is_grpc);
    } catch (const Error& error) {
      failure = error.what();
      next = texts_;
    }
    next.client_ca.clear();
    next.refuses_all = false;
    try {
      if (!address_.client_ca.empty()) next.read_authorities(address_);
    } catch (const Error& error) {
      failure += (failure.empty() ? "" : "; ") + std::string(error.what());
      next.refuses_all = true;
    }
    if (!files_.is_unchanged()) return false;
    if (!(next == texts_)) take(next);
    if (failure.empty()) {
      files_.note_read();
      return true;
    }
    files_.note_failure();
    throw Error(SIDECALL_INVALID_ARGUMENT, failure);
  }

 private:
  void take(const TlsTexts& texts) {
    auto next = std::make_shared<const TlsIdentity>(texts, address_.is_grpc);
    texts_ = texts;
    const std::lock_guard lock(mutex_);
    identity_.swap(next);
  }

  std::shared_ptr<const TlsIdentity> identity() const {
    const std::lock_guard lock(mutex_);
    return identity_;
  }

  const ServerAddress address_;
  WatchedFiles files_;
  TlsTexts texts_;            // of the identity
  mutable std::mutex mutex_;  // guards the rest
  std::shared_ptr<const TlsIdentity> identity_;
};

}  // namespace

std::unique_ptr<TlsContext> make_tls_context(const ServerAddress& address) {
  return std::make_unique<FileTls>(address);
}

}  // namespace sidecall::net
