// One version of the files of a server with TLS: its certificate, its key, and the authorities of
// its clients. Used by tls.cpp.
#pragma once

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ticket.h>
#include <mbedtls/x509_crt.h>

#include <cstdint>
#include <string>

#include "net/server/address.h"

namespace sidecall::net {

// The contents of the files.
struct TlsTexts {
  std::string cert, key, client_ca;
  bool refuses_all = false;  // clients need a certificate, but its authorities cannot be read

  // Reads the certificate and its key. Throws INVALID_ARGUMENT if a file cannot be read.
  void read_own(const ServerAddress& address);
  // The same for the authorities, whose certificates it checks, too.
  void read_authorities(const ServerAddress& address);
  bool operator==(const TlsTexts& other) const;
};

class TlsIdentity {
 public:
  // Throws INVALID_ARGUMENT if a text cannot be used.
  TlsIdentity(const TlsTexts& texts, bool is_grpc);
  ~TlsIdentity() { free(); }
  TlsIdentity(const TlsIdentity&) = delete;
  TlsIdentity& operator=(const TlsIdentity&) = delete;

  // When the first certificate of the chain expires, in seconds since 1970.
  int64_t expires() const;

  mbedtls_ssl_config config{};
  const bool refuses_all;

 private:
  void read(const TlsTexts& texts);
  void configure(bool verifies_clients, bool is_grpc);
  void free();

  mbedtls_entropy_context entropy_{};
  mbedtls_ctr_drbg_context random_{};
  mbedtls_ssl_ticket_context tickets_{};
  mbedtls_x509_crt chain_{}, authorities_{};
  mbedtls_pk_context key_{};
};

}  // namespace sidecall::net
