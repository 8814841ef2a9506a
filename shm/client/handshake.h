// The client's part of the handshake: sends one HELLO, receives one answer, and checks it. Used by
// client.cpp and channel_connect.cpp.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

#include "endpoint.h"
#include "shm/common/layout.h"
#include "shm/common/socket.h"

namespace sidecall::shm {

// What the client asks for. `slots` and the numbers of bytes are used only with kConnect.
struct ConnectionRequest {
  HelloKind kind = kOpen;
  uint32_t slots = 0;
  uint64_t request_bytes = 0;
  uint64_t response_bytes = 0;
};

// What the server granted. The files are not checked yet: call check_file before use.
struct Connection {
  Socket socket;
  Welcome welcome{};
  Fd manifest;           // kOpen
  Fd request, response;  // kConnect
  Fd status;             // kStatus
  uint64_t status_bytes = 0;
  Fd pidfd;  // of the serving process; may be empty
};

// Connects and performs the handshake step by step, so that an event loop can wait in between.
// Until `retry_until` passes, it tries again if the server is absent, draining or busy, or if it
// dies during the handshake. A server that exists may take `answer_ns` to answer; a negative value
// means no limit. The deadline limits all of this.
class Handshake {
 public:
  Handshake(Endpoint& endpoint, const ConnectionRequest& request, Deadline retry_until,
            Deadline deadline, int64_t answer_ns);

  // Does everything that is possible without waiting. Returns true once take() has the connection.
  // Throws the errors of Endpoint::connect, the error with which the server refused the connection,
  // TIMEOUT, PROTOCOL.
  bool step();
  Connection take() noexcept { return std::move(connection_); }

  // Before the next step the caller waits until fd() is readable (-1 means there is no descriptor),
  // but no longer than until next().
  int fd() const noexcept { return connection_.socket.fd(); }
  Deadline next() const noexcept { return connection_.socket ? answer_by_ : pause_until_; }

  int64_t begun_ns() const noexcept { return begun_.at_ns(); }

 private:
  bool dial();
  bool read(bool* is_hang_up);
  bool tries_again(const Error& error, bool is_hang_up);
  void pause(Deadline end, int64_t longest_ns);

  Endpoint& endpoint_;
  const ConnectionRequest request_;
  const Deadline begun_ = Deadline::after(0);
  const Deadline retry_until_, deadline_, dial_until_;
  const int64_t answer_ns_;
  Deadline pause_until_ = Deadline::after(0);
  Deadline answer_by_ = Deadline::never();
  int64_t pause_ns_;
  uint64_t started_ = 0;  // see Endpoint::connect
  int num_hang_ups_ = 0;
  Connection connection_;
};

// Performs the whole handshake, and waits for it. Throws the errors of Handshake::step, and
// CANCELLED soon after `stop` was set.
Connection run_handshake(Endpoint& endpoint, const ConnectionRequest& request, Deadline retry_until,
                         Deadline deadline, int64_t answer_ns = -1,
                         const std::atomic<bool>* stop = nullptr);

// The model id of a WELCOME, or "" if there is none. Handshake has checked it.
std::string model_id_of(const Welcome& welcome);

}  // namespace sidecall::shm
