// The client's half of the handshake: one HELLO, one answer, checked. Used by client.cpp and channel_connect.cpp.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

#include "endpoint.h"
#include "shm/common/layout.h"
#include "shm/common/socket.h"

namespace sidecall::shm {

// What is asked for; slots and bytes only with kConnect.
struct Wish {
  HelloKind kind = kOpen;
  uint32_t slots = 0;
  uint64_t request_bytes = 0;
  uint64_t response_bytes = 0;
};

// What was granted. Files are as they came: check_file before use.
struct Connection {
  Socket socket;
  Welcome welcome{};
  Fd manifest;           // kOpen
  Fd request, response;  // kConnect
  Fd status;             // kStatus
  uint64_t status_bytes = 0;
  Fd pidfd;  // of the serving process; may be empty
};

// Connects and shakes hands, step by step, so that an event loop can wait in between. While `patience` lasts, a server that is absent, draining,
// busy, or dies meanwhile is tried again. One that is there may take `answer_ns` to answer, below 0 for ever. The deadline ends everything.
class Handshake {
 public:
  Handshake(Endpoint& endpoint, const Wish& wish, Deadline patience, Deadline deadline,
            int64_t answer_ns);

  // Does what can be done without waiting. True once take() has the connection.
  // Throws what Endpoint::connect throws, what the server refused with, TIMEOUT, PROTOCOL.
  bool step();
  Connection take() noexcept { return std::move(connection_); }

  // What to wait for before the next step: this descriptor to become readable (-1 for none), until then.
  int fd() const noexcept { return connection_.socket.fd(); }
  Deadline next() const noexcept { return connection_.socket ? answer_by_ : pause_until_; }

 private:
  bool dial();
  bool read(bool* is_hang_up);
  bool tries_again(const Error& error, bool is_hang_up);
  void pause(Deadline end, int64_t longest_ns);

  Endpoint& endpoint_;
  const Wish wish_;
  const Deadline patience_, deadline_, dial_until_;
  const int64_t answer_ns_;
  Deadline pause_until_ = Deadline::after(0);
  Deadline answer_by_ = Deadline::never();
  int64_t pause_ns_;
  uint64_t started_ = 0;  // see Endpoint::connect
  int num_hang_ups_ = 0;
  Connection connection_;
};

// The same, waiting. Throws as Handshake::step, and CANCELLED soon after `stop` was set.
Connection shake_hands(Endpoint& endpoint, const Wish& wish, Deadline patience, Deadline deadline,
                       int64_t answer_ns = -1, const std::atomic<bool>* stop = nullptr);

// The model id of a WELCOME, "" where there is none. Checked by Handshake.
std::string model_id_of(const Welcome& welcome);

}  // namespace sidecall::shm
