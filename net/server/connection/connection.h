// One connection of a client: moves bytes between its socket and a session, which speaks HTTP/1.1
// or HTTP/2.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "byte_stream.h"
#include "descriptor.h"
#include "handshakes.h"
#include "net/server/held_memory.h"
#include "net/server/message.h"
#include "net/server/router.h"
#include "poller.h"

namespace sidecall::net {

// Bytes that wait to be sent.
class Output {
 public:
  void add(std::string bytes);
  bool is_empty() const { return parts_.empty(); }
  size_t bytes() const { return bytes_; }
  const char* data() const { return parts_.front().data() + sent_; }
  size_t length() const { return parts_.front().size() - sent_; }
  void remove(size_t count);

 private:
  std::deque<std::string> parts_;
  size_t sent_ = 0;  // of the first part
  size_t bytes_ = 0;
};

// An answer up to this size, such as the metrics, is sent even if no memory for answers is left.
inline constexpr size_t kSmallAnswer = size_t{32} * 1024;

// Whether the body of a request arrives fast enough: at least 16 KiB/s in each window of 30 s.
class BodyProgress {
 public:
  BodyProgress() = default;
  explicit BodyProgress(Clock::time_point now) : since_(now) {}
  void add(size_t bytes) noexcept { bytes_ += bytes; }
  // Called about once a second.
  bool is_slow(Clock::time_point now) noexcept {
    if (now - since_ < kWindow) return false;
    const bool is_slow = bytes_ < kLeastBytes;
    since_ = now;
    bytes_ = 0;
    return is_slow;
  }

 private:
  static constexpr auto kWindow = std::chrono::seconds(30);
  static constexpr size_t kLeastBytes = size_t{30} * 16 * 1024;
  Clock::time_point since_;
  size_t bytes_ = 0;
};

// The protocol of a connection.
class Session {
 public:
  virtual ~Session() = default;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Takes bytes of the client.
  virtual void receive(const char* data, size_t bytes) = 0;
  // Appends the next bytes to send, unless enough bytes wait already.
  virtual void produce(Output* output) = 0;
  // Whether the session accepts more bytes of the client.
  virtual bool wants_input() const = 0;
  // Whether the connection ends as soon as everything is sent.
  virtual bool is_over() const = 0;
  // Whether the connection ended because of what the client sent.
  virtual bool is_broken() const = 0;
  // Called repeatedly while the server drains: answers the requests that have arrived, and accepts
  // no others. `is_over`: requests that were on their way have had the time to arrive.
  virtual void drain(bool is_over) = 0;
  // Ends requests whose client is too slow. Called about once a second.
  virtual void check_time(Clock::time_point now) = 0;
  // Whether a request has begun.
  virtual bool is_busy() const = 0;

 protected:
  Session() = default;
};

class Connection;
std::unique_ptr<Session> make_http1_session(Router* router, ServerContext* server,
                                            Connection* connection);
std::unique_ptr<Session> make_http2_session(Router* router, ServerContext* server,
                                            Connection* connection);

class Connection final : public Watched, public Handshaking {
 public:
  // `handshakes`: nullptr if the stream needs no handshake.
  Connection(Descriptor fd, std::unique_ptr<ByteStream> stream, Poller* poller,
             Handshakes* handshakes, Router* router, ServerContext* server);
  ~Connection() override;

  // Begins to watch the descriptor. Throws OUT_OF_MEMORY.
  void start();
  void on_events(uint32_t events) override;
  void on_handshake(ByteStream::Result result) noexcept override;
  // Called when an answer is ready. Sends it at once, or, while events are being handled, after all
  // of them.
  void flush();
  // A request cannot be answered: closes the connection, after the events that are being handled.
  void fail() noexcept;
  void drain(Clock::time_point now);
  void check_time(Clock::time_point now);
  // Whether it can be destroyed.
  bool is_closed() const { return is_closed_ && !is_handshaking_; }
  // Whether no request has begun and nothing is left to send, and since when.
  bool is_idle() const;
  Clock::time_point idle_since() const { return progressed_; }
  // Whether bytes of the client wait to be read. If so, the connection no longer counts as idle.
  bool has_input() noexcept;
  void close() noexcept;
  // Whether a client waits for an answer, or may have sent a request: in a drain, a connection
  // counts as busy for kDrainGrace, because requests may be on their way.
  bool is_busy(Clock::time_point now) const;
  // The memory that the requests and answers of this connection take.
  HeldMemory& memory() { return memory_; }

 private:
  void begin_handshake();
  void begin_session();
  bool may_read() const;
  void read();
  void send();
  void watch();
  void end_handling() noexcept;

  const Descriptor owner_;
  const int fd_;
  Poller* const poller_;
  Handshakes* const handshakes_;
  Router* const router_;
  ServerContext& server_;
  HeldMemory memory_;
  std::unique_ptr<ByteStream> stream_;
  std::unique_ptr<Session> session_;  // once the handshake is done
  Output output_;
  uint32_t watched_ = 0;
  bool is_handshaking_ = false;  // a worker has the stream
  bool is_handling_ = false;
  bool must_close_ = false;  // see fail()
  bool is_closed_ = false;
  bool is_finished_ = false;  // everything is sent, and the client was told
  size_t dropped_ = 0;        // bytes that arrived after that
  Clock::time_point opened_;
  Clock::time_point drained_;     // when the drain began
  Clock::time_point progressed_;  // when bytes were sent, or nothing waited
};

}  // namespace sidecall::net
