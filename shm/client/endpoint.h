// Where a client connects to: the socket of a server, a child process that this library starts and
// supervises, or a server of this process. Used by Client.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "shm/common/direct.h"
#include "shm/common/error.h"
#include "shm/common/socket.h"

namespace sidecall::shm {

// Shared by all channels of an opened model. Any thread may connect.
class Endpoint {
 public:
  virtual ~Endpoint() = default;

  // Makes one attempt at a new connection, before the handshake, without waiting. Returns an empty
  // socket if a server exists or is being started but cannot take the connection yet; the caller
  // throws `not_yet` if its deadline passes meanwhile. In `started` the endpoint keeps a number
  // from one attempt of a handshake to the next; the caller sets it to 0 before the first attempt.
  // Throws UNREACHABLE (there is no server; another attempt may find one), DENIED, OUT_OF_MEMORY.
  virtual Socket connect(Deadline deadline, uint64_t* started, Error* not_yet) = 0;

  // The address as the user wrote it: "shm:fraud".
  virtual const std::string& label() const noexcept = 0;

  // After UNREACHABLE: whether to try again at once, because the last attempt reached a process
  // that was already ending and the next attempt will reach another. `num_hang_ups` is how many
  // attempts of this handshake have ended by a hang-up, or 0 if the last attempt ended in another
  // way. May wait a short time for the end of a process, until the deadline.
  virtual bool has_successor(int /*num_hang_ups*/, Deadline /*deadline*/) { return false; }

  // After UNREACHABLE: whether a server may still appear. False if the program cannot be run or
  // ends soon after each start.
  virtual bool may_still_appear() { return true; }

  // Over how many serving processes new connections spread at present; 1 if that is not known.
  virtual int32_t num_processes() { return 1; }

  // What is known about a server that died, as a suffix for a message, or "".
  // May wait a short time for the end of a process, until the deadline.
  virtual std::string exit_text(Deadline /*deadline*/) { return std::string(); }
};

// `address` is the part after "shm:". Throws INVALID_ARGUMENT.
std::unique_ptr<Endpoint> make_socket_endpoint(std::string_view address);

// Connects to a server or a supervisor of this process, without an address. `label` stands for the
// address in messages.
std::unique_ptr<Endpoint> make_direct_endpoint(std::string label, Direct direct);

// `command` is the part after "exec:": words, quoted as in a shell, without expansion. The first
// connect starts the child. A child that died is started again, at the earliest 100 ms after its
// last start; this time doubles with each start within 10 s of the one before, up to 5 s. After
// three such starts in a row a handshake does not wait for another. A child that closes its control
// socket drains: it may answer its calls for 12 s before it gets SIGTERM, and 2 s later SIGKILL.
// Meanwhile connect() waits, and then starts the next child. The child ends with the
// endpoint: its control socket is closed, it gets SIGTERM, and 2 s later SIGKILL. Throws
// INVALID_ARGUMENT.
std::unique_ptr<Endpoint> make_child_endpoint(std::string_view command);

}  // namespace sidecall::shm
