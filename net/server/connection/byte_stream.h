// The bytes of one connection, with or without TLS.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "net/server/address.h"
#include "net/server/credentials/renewed.h"

namespace sidecall::net {

class ByteStream {
 public:
  // The result of an operation. kAgain: nothing can be read or written at the moment. After a
  // handshake with this result, `wants_write()` says whether it must write or read next.
  enum class Result { kDone, kAgain, kClosed };

  virtual ~ByteStream() = default;
  ByteStream(const ByteStream&) = delete;
  ByteStream& operator=(const ByteStream&) = delete;

  // Must be done before data is read or written. May take milliseconds of computation.
  virtual Result handshake() { return Result::kDone; }
  virtual Result read(char* to, size_t most, size_t* got) = 0;
  virtual Result write(const char* from, size_t bytes, size_t* written) = 0;
  // Whether bytes can be read although the descriptor is not readable, because TLS has buffered
  // them.
  virtual bool has_buffered() const { return false; }
  virtual bool wants_write() const { return false; }
  // Tells the other side that no more data follows.
  virtual void finish() = 0;
  // Whether the handshake agreed on HTTP/2.
  virtual bool is_http2() const { return false; }

 protected:
  ByteStream() = default;
};

std::unique_ptr<ByteStream> make_plain_stream(int fd);

// The certificate and key of a server, which are read again when their files change. A connection
// keeps the certificate with which it began. Any thread may use it.
class TlsContext : public Renewed {
 public:
  virtual std::unique_ptr<ByteStream> make_stream(int fd) const = 0;
  // When the first certificate of the chain expires, in seconds since 1970.
  virtual int64_t expires() const = 0;
};

// Reads the files of the address. Throws INVALID_ARGUMENT.
std::unique_ptr<TlsContext> make_tls_context(const ServerAddress& address);

}  // namespace sidecall::net
