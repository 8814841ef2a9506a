// How this process connects to a server or a supervisor of its own, without an address. Made by
// Server and Supervisor; used by the client (client/endpoint.h).
#pragma once

#include <cstdint>
#include <functional>

#include "socket.h"

namespace sidecall::shm {

// Any thread may call the functions, also after the server has ended.
struct Direct {
  // A new connection, before the handshake. Does not wait. Throws UNREACHABLE (the server has
  // ended), OUT_OF_MEMORY.
  std::function<Socket()> connect;
  // Whether a process that runs calls is ready, and the runs that wait make progress.
  std::function<bool()> is_ready;
  // See Endpoint::num_processes().
  std::function<int32_t()> num_processes;
  // How many workers were killed because they hung; -1 without workers.
  std::function<int64_t()> num_hung;
};

}  // namespace sidecall::shm
