// Does the handshakes of TLS on threads of their own, because one takes milliseconds of computation
// and would delay the requests of other connections. Each loop has one.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>

#include "byte_stream.h"
#include "descriptor.h"
#include "net/server/workers.h"
#include "poller.h"

namespace sidecall::net {

// A connection that is not established yet.
class Handshaking {
 public:
  // Called by the thread of the loop after the step that begin() asked for. Throws nothing, because
  // other connections wait for the same call.
  virtual void on_handshake(ByteStream::Result result) noexcept = 0;

 protected:
  ~Handshaking() = default;

 private:
  friend class Handshakes;
  ByteStream::Result result_ = ByteStream::Result::kAgain;
  Handshaking* next_ = nullptr;
};

class Handshakes final : public Watched {
 public:
  // Throws OUT_OF_MEMORY.
  Handshakes(Poller* poller, Workers* workers);
  // Waits for the steps that have begun. Steps that have not begun are dropped.
  ~Handshakes() override;

  // Lets a worker call stream->handshake(). Until on_handshake() is called, nothing else may use
  // the stream, and stream and connection must not be destroyed. Throws std::bad_alloc or
  // std::system_error.
  void begin(Handshaking* connection, ByteStream* stream);
  void on_events(uint32_t events) override;
  // Waits until no worker has a stream. Must come before the end of the connections.
  void stop() noexcept;

 private:
  void put(Handshaking* connection) noexcept;  // by a worker

  Workers* const workers_;
  const Descriptor fd_;
  std::atomic<bool> should_stop_{false};
  std::mutex mutex_;  // guards the rest
  std::condition_variable changed_;
  Handshaking* done_ = nullptr;  // the first of a list, so that put() needs no memory
  int num_elsewhere_ = 0;
};

}  // namespace sidecall::net
