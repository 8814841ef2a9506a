// A connection with TLS 1.2 or 1.3, by Mbed TLS; see byte_stream.h.
#include <mbedtls/asn1.h>
#include <mbedtls/bignum.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/ecp.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/pem.h>
#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>
#include <psa/crypto.h>
#include <sidecall/sidecall.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <new>
#include <string>

#include "byte_stream.h"
#include "net/common/error.h"

namespace sidecall::net {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kCheckEvery = std::chrono::seconds(1);

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

// Throws std::bad_alloc if Mbed TLS had no memory. Its errors add one of a lower layer to one of a
// higher layer.
void require_memory(int code) {
  const int low = code % 0x80;
  bool is_out = low == MBEDTLS_ERR_ASN1_ALLOC_FAILED || low == MBEDTLS_ERR_MPI_ALLOC_FAILED;
  for (const int error :
       {MBEDTLS_ERR_ECP_ALLOC_FAILED, MBEDTLS_ERR_PEM_ALLOC_FAILED, MBEDTLS_ERR_PK_ALLOC_FAILED,
        MBEDTLS_ERR_SSL_ALLOC_FAILED, MBEDTLS_ERR_X509_ALLOC_FAILED})
    is_out = is_out || code - low == error;
  if (is_out) throw std::bad_alloc();
}

// Refuses a file that Mbed TLS could not read.
void require_file(int code, const char* option, const char* expected) {
  require_memory(code);
  if (code == 0) return;
  throw Error(SIDECALL_INVALID_ARGUMENT, std::string("at: ") + option + ": expected " + expected +
                                             ", got none or another file");
}

// What one version of the files says.
class Identity {
 public:
  explicit Identity(const ServerAddress& address) {
    mbedtls_entropy_init(&entropy_);
    mbedtls_ctr_drbg_init(&random_);
    mbedtls_ssl_config_init(&config);
    mbedtls_x509_crt_init(&chain_);
    mbedtls_x509_crt_init(&authorities_);
    mbedtls_pk_init(&key_);
    try {
      read(address);
    } catch (...) {
      free();
      throw;
    }
  }
  ~Identity() { free(); }
  Identity(const Identity&) = delete;
  Identity& operator=(const Identity&) = delete;

  mbedtls_ssl_config config{};

 private:
  void read(const ServerAddress& address) {
    const auto require_ok = [](int code) {
      require_memory(code);
      if (code != 0) throw Error(SIDECALL_INTERNAL, "server: TLS cannot be prepared");
    };
    const psa_status_t started = psa_crypto_init();
    if (started == PSA_ERROR_INSUFFICIENT_MEMORY) throw std::bad_alloc();
    require_ok(started == PSA_SUCCESS ? 0 : -1);
    // It has one error for everything, and the system always has random numbers.
    if (mbedtls_ctr_drbg_seed(&random_, mbedtls_entropy_func, &entropy_, nullptr, 0) != 0)
      throw std::bad_alloc();
    require_file(mbedtls_x509_crt_parse_file(&chain_, address.cert.c_str()), "cert",
                 "a PEM file with the certificate of this server");
    require_file(mbedtls_pk_parse_keyfile(&key_, address.key.c_str(), nullptr,
                                          mbedtls_ctr_drbg_random, &random_),
                 "key", "a PEM file with a key that is not encrypted");
    require_file(mbedtls_pk_check_pair(&chain_.pk, &key_, mbedtls_ctr_drbg_random, &random_), "key",
                 "the key of the certificate");
    require_ok(mbedtls_ssl_config_defaults(
        &config, MBEDTLS_SSL_IS_SERVER, MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT));
    mbedtls_ssl_conf_rng(&config, mbedtls_ctr_drbg_random, &random_);
    mbedtls_ssl_conf_min_tls_version(&config, MBEDTLS_SSL_VERSION_TLS1_2);
    require_ok(mbedtls_ssl_conf_own_cert(&config, &chain_, &key_));
    if (!address.client_ca.empty()) {
      require_file(mbedtls_x509_crt_parse_file(&authorities_, address.client_ca.c_str()),
                   "client_ca", "a PEM file with certificates of authorities");
      mbedtls_ssl_conf_ca_chain(&config, &authorities_, nullptr);
      mbedtls_ssl_conf_authmode(&config, MBEDTLS_SSL_VERIFY_REQUIRED);
    }
    static const char* kGrpc[] = {"h2", nullptr};
    static const char* kHttp[] = {"h2", "http/1.1", nullptr};
    require_ok(mbedtls_ssl_conf_alpn_protocols(&config, address.is_grpc ? kGrpc : kHttp));
  }

  void free() {
    mbedtls_ssl_config_free(&config);
    mbedtls_pk_free(&key_);
    mbedtls_x509_crt_free(&authorities_);
    mbedtls_x509_crt_free(&chain_);
    mbedtls_ctr_drbg_free(&random_);
    mbedtls_entropy_free(&entropy_);
  }

  mbedtls_entropy_context entropy_{};
  mbedtls_ctr_drbg_context random_{};
  mbedtls_x509_crt chain_{}, authorities_{};
  mbedtls_pk_context key_{};
};

class Tls final : public ByteStream {
 public:
  Tls(int fd, std::shared_ptr<Identity> identity) : fd_(fd), identity_(std::move(identity)) {
    mbedtls_ssl_init(&ssl_);
    if (mbedtls_ssl_setup(&ssl_, &identity_->config) != 0) {
      mbedtls_ssl_free(&ssl_);
      throw std::bad_alloc();
    }
    mbedtls_ssl_set_bio(&ssl_, &fd_, send_bytes, receive_bytes, nullptr);
  }
  ~Tls() override { mbedtls_ssl_free(&ssl_); }

  Result handshake() override { return result(mbedtls_ssl_handshake(&ssl_)); }

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
  Result result(int code) {
    wants_write_ = code == MBEDTLS_ERR_SSL_WANT_WRITE;
    if (code == 0) return Result::kDone;
    const bool is_again = wants_write_ || code == MBEDTLS_ERR_SSL_WANT_READ ||
                          code == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET;
    return is_again ? Result::kAgain : Result::kClosed;
  }

  int fd_;
  const std::shared_ptr<Identity> identity_;  // outlives the session
  mbedtls_ssl_context ssl_{};
  bool wants_write_ = false;
};

class FileTls final : public TlsContext {
 public:
  explicit FileTls(const ServerAddress& address)
      : address_(address), identity_(std::make_shared<Identity>(address)), age_(age()) {}

  std::unique_ptr<ByteStream> make_stream(int fd) override {
    renew();
    return std::make_unique<Tls>(fd, identity_);
  }

 private:
  // When the files were changed.
  std::array<timespec, 3> age() const {
    std::array<timespec, 3> times{};
    const std::array<const std::string*, 3> paths = {&address_.cert, &address_.key,
                                                     &address_.client_ca};
    for (size_t i = 0; i < paths.size(); ++i) {
      struct stat status{};
      if (!paths[i]->empty() && ::stat(paths[i]->c_str(), &status) == 0) times[i] = status.st_mtim;
    }
    return times;
  }

  // Reads files that have changed. While they do not fit together, the old ones stay.
  void renew() {
    const Clock::time_point now = Clock::now();
    if (now - checked_ < kCheckEvery) return;
    checked_ = now;
    const std::array<timespec, 3> current = age();
    bool is_same = true;
    for (size_t i = 0; i < current.size(); ++i)
      is_same =
          is_same && current[i].tv_sec == age_[i].tv_sec && current[i].tv_nsec == age_[i].tv_nsec;
    if (is_same) return;
    try {
      identity_ = std::make_shared<Identity>(address_);
      age_ = current;
    } catch (const std::exception&) {
    }
  }

  const ServerAddress address_;
  std::shared_ptr<Identity> identity_;
  std::array<timespec, 3> age_;
  Clock::time_point checked_;
};

}  // namespace

std::unique_ptr<TlsContext> make_tls_context(const ServerAddress& address) {
  return std::make_unique<FileTls>(address);
}

}  // namespace sidecall::net
