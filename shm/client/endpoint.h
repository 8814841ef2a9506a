// Where a client's connections lead: the socket of a server, or a child that this library starts and supervises. Used by Client.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "shm/common/error.h"
#include "shm/common/socket.h"

namespace sidecall::shm {

// Shared by all channels of an opened model; any thread may connect.
class Endpoint {
 public:
  virtual ~Endpoint() = default;

  // One attempt at a new connection, before the handshake; does not wait. Empty where a server is there, or is being started, but cannot take
  // the connection yet: `not_yet` is then what to throw when the deadline has passed. `started` belongs to one handshake and is 0 at first.
  // Throws UNREACHABLE (there is no server; another attempt may find one), DENIED, OUT_OF_MEMORY.
  virtual Socket connect(Deadline deadline, uint64_t* started, Error* not_yet) = 0;

  // What the user wrote: "shm:fraud".
  virtual const std::string& label() const noexcept = 0;

  // After UNREACHABLE: whether the next attempt, at once, will lead to another process than the last, which was already ending. `num_hang_ups`: of this
  // handshake's attempts so far, where the last ended by a hang-up; else 0. May wait a moment for the end of a process, until the deadline.
  virtual bool has_successor(int /*num_hang_ups*/, Deadline /*deadline*/) { return false; }

  // After UNREACHABLE: whether somebody may still come. False where what should serve cannot be run, or keeps dying.
  virtual bool is_worth_waiting() { return true; }

  // What is known about a peer that died: " (exit status 3)", or "". May wait a moment for the end of a process, until the deadline.
  virtual std::string obituary(Deadline /*deadline*/) { return std::string(); }
};

// `address` is what follows "shm:". Throws INVALID_ARGUMENT.
std::unique_ptr<Endpoint> make_socket_endpoint(std::string_view address);

// `command` is what follows "exec:": words in the shell's quoting, without expansion. The child starts with the first connect, is started again when
// it died (not before 100 ms, doubling to 5 s; after three short lives in a row no handshake waits for a fourth), and ends with the endpoint: its control
// socket hangs up, SIGTERM, SIGKILL after 2 s. Throws INVALID_ARGUMENT.
std::unique_ptr<Endpoint> make_child_endpoint(std::string_view command);

}  // namespace sidecall::shm
