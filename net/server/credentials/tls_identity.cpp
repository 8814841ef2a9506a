// Reads certificates and keys, and says which TLS the server speaks; see tls_identity.h.
#include "tls_identity.h"

#include <mbedtls/asn1.h>
#include <mbedtls/bignum.h>
#include <mbedtls/ecp.h>
#include <mbedtls/error.h>
#include <mbedtls/pem.h>
#include <mbedtls/ssl_ciphersuites.h>
#include <psa/crypto.h>
#include <sidecall/sidecall.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <new>

#include "net/common/error.h"
#include "whole_file.h"

namespace sidecall::net {
namespace {

constexpr size_t kMaxPemBytes = size_t{4} * 1024 * 1024;
// How long a client may resume a session. The keys of tickets are replaced as often.
constexpr uint32_t kTicketSeconds = 3600;

constexpr char kExpectedCert[] = "a PEM file with the certificate of this server";
constexpr char kExpectedKey[] = "a PEM file with a key that is not encrypted";
constexpr char kExpectedClientCa[] = "a PEM file with certificates of authorities";

// With these, each connection has its own keys (ECDHE), and changed messages are detected (AEAD).
constexpr int kCipherSuites[] = {MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
                                 MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
                                 MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
                                 MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
                                 MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
                                 MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
                                 MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
                                 MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
                                 MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
                                 0};
constexpr uint16_t kGroups[] = {
    MBEDTLS_SSL_IANA_TLS_GROUP_X25519, MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1,
    MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1, MBEDTLS_SSL_IANA_TLS_GROUP_NONE};

// Throws std::bad_alloc if Mbed TLS had no memory. An error of Mbed TLS is the sum of an error of a
// higher layer and one of a lower layer.
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
  throw Error(SIDECALL_INVALID_ARGUMENT, std::string(option) + ": the file is not " + expected);
}

void require_ok(int code) {
  require_memory(code);
  if (code != 0) throw Error(SIDECALL_INTERNAL, "server: TLS cannot be prepared");
}

size_t count_of(const std::string& text, const char* part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

// The length that Mbed TLS wants: PEM includes the byte that ends the text.
size_t length_of(const std::string& text) {
  return text.size() + (count_of(text, "-----BEGIN ") == 0 ? 0 : 1);
}

const unsigned char* bytes_of(const std::string& text) {
  return reinterpret_cast<const unsigned char*>(text.c_str());
}

void parse_certificates(const std::string& text, const char* option, const char* expected,
                        mbedtls_x509_crt* out) {
  require_file(mbedtls_x509_crt_parse(out, bytes_of(text), length_of(text)), option, expected);
  // Mbed TLS leaves out a certificate that is cut off.
  if (count_of(text, "-----BEGIN ") != count_of(text, "-----END "))
    require_file(-1, option, expected);
}

int64_t seconds_of(const mbedtls_x509_time& time) {
  std::tm fields{};
  fields.tm_year = time.year - 1900;
  fields.tm_mon = time.mon - 1;
  fields.tm_mday = time.day;
  fields.tm_hour = time.hour;
  fields.tm_min = time.min;
  fields.tm_sec = time.sec;
  return int64_t{::timegm(&fields)};
}

}  // namespace

void TlsTexts::read_own(const ServerAddress& address) {
  cert = read_whole(address.cert, "cert", kExpectedCert, kMaxPemBytes);
  key = read_whole(address.key, "key", kExpectedKey, kMaxPemBytes);
}

void TlsTexts::read_authorities(const ServerAddress& address) {
  const std::string text =
      read_whole(address.client_ca, "client_ca", kExpectedClientCa, kMaxPemBytes);
  mbedtls_x509_crt parsed;
  mbedtls_x509_crt_init(&parsed);
  const std::unique_ptr<mbedtls_x509_crt, void (*)(mbedtls_x509_crt*)> owner(
      &parsed, &mbedtls_x509_crt_free);
  parse_certificates(text, "client_ca", kExpectedClientCa, &parsed);
  client_ca = text;
}

bool TlsTexts::operator==(const TlsTexts& other) const {
  return cert == other.cert && key == other.key && client_ca == other.client_ca &&
         refuses_all == other.refuses_all;
}

TlsIdentity::TlsIdentity(const TlsTexts& texts, bool is_grpc) : refuses_all(texts.refuses_all) {
  mbedtls_entropy_init(&entropy_);
  mbedtls_ctr_drbg_init(&random_);
  mbedtls_ssl_config_init(&config);
  mbedtls_ssl_ticket_init(&tickets_);
  mbedtls_x509_crt_init(&chain_);
  mbedtls_x509_crt_init(&authorities_);
  mbedtls_pk_init(&key_);
  try {
    read(texts);
    configure(!texts.client_ca.empty(), is_grpc);
  } catch (...) {
    free();
    throw;
  }
}

int64_t TlsIdentity::expires() const {
  int64_t first = seconds_of(chain_.valid_to);
  for (const mbedtls_x509_crt* each = chain_.next; each != nullptr; each = each->next)
    first = std::min(first, seconds_of(each->valid_to));
  return first;
}

void TlsIdentity::read(const TlsTexts& texts) {
  const psa_status_t started = psa_crypto_init();
  if (started == PSA_ERROR_INSUFFICIENT_MEMORY) throw std::bad_alloc();
  require_ok(started == PSA_SUCCESS ? 0 : -1);
  // This function has only one error. The system always has random numbers, so it means no memory.
  if (mbedtls_ctr_drbg_seed(&random_, mbedtls_entropy_func, &entropy_, nullptr, 0) != 0)
    throw std::bad_alloc();
  parse_certificates(texts.cert, "cert", kExpectedCert, &chain_);
  require_file(mbedtls_pk_parse_key(&key_, bytes_of(texts.key), length_of(texts.key), nullptr, 0,
                                    mbedtls_ctr_drbg_random, &random_),
               "key", kExpectedKey);
  require_file(mbedtls_pk_check_pair(&chain_.pk, &key_, mbedtls_ctr_drbg_random, &random_), "key",
               "the key of the certificate");
  if (!texts.client_ca.empty())
    parse_certificates(texts.client_ca, "client_ca", kExpectedClientCa, &authorities_);
}

void TlsIdentity::configure(bool verifies_clients, bool is_grpc) {
  require_ok(mbedtls_ssl_config_defaults(&config, MBEDTLS_SSL_IS_SERVER,
                                         MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT));
  mbedtls_ssl_conf_rng(&config, mbedtls_ctr_drbg_random, &random_);
  mbedtls_ssl_conf_min_tls_version(&config, MBEDTLS_SSL_VERSION_TLS1_2);
  mbedtls_ssl_conf_ciphersuites(&config, kCipherSuites);
  mbedtls_ssl_conf_groups(&config, kGroups);
  mbedtls_ssl_conf_tls13_key_exchange_modes(&config,
                                            MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL |
                                                MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_PSK_EPHEMERAL);
  require_ok(mbedtls_ssl_conf_own_cert(&config, &chain_, &key_));
  if (verifies_clients) {
    // Without tickets: a resumed session would not look at the client's certificate again.
    mbedtls_ssl_conf_session_tickets(&config, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
    mbedtls_ssl_conf_ca_chain(&config, &authorities_, nullptr);
    mbedtls_ssl_conf_authmode(&config, MBEDTLS_SSL_VERIFY_REQUIRED);
  } else {
    require_ok(mbedtls_ssl_ticket_setup(&tickets_, mbedtls_ctr_drbg_random, &random_,
                                        MBEDTLS_CIPHER_AES_256_GCM, kTicketSeconds));
    mbedtls_ssl_conf_session_tickets_cb(&config, mbedtls_ssl_ticket_write, mbedtls_ssl_ticket_parse,
                                        &tickets_);
  }
  static const char* kGrpc[] = {"h2", nullptr};
  static const char* kHttp[] = {"h2", "http/1.1", nullptr};
  require_ok(mbedtls_ssl_conf_alpn_protocols(&config, is_grpc ? kGrpc : kHttp));
}

void TlsIdentity::free() {
  mbedtls_ssl_config_free(&config);
  mbedtls_ssl_ticket_free(&tickets_);
  mbedtls_pk_free(&key_);
  mbedtls_x509_crt_free(&authorities_);
  mbedtls_x509_crt_free(&chain_);
  mbedtls_ctr_drbg_free(&random_);
  mbedtls_entropy_free(&entropy_);
}

}  // namespace sidecall::net
