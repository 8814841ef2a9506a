// A connected socket and what is known about the process at its other end.
#pragma once

#include "shm/common/socket.h"

namespace sidecall::shm {

struct Accepted {
  Socket socket;
  PeerCredentials peer;
  bool is_direct = false;  // from this process: see Server::drain_others()
};

}  // namespace sidecall::shm
