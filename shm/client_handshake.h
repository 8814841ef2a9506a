// The client's half of the handshake: one HELLO, one answer, checked. Used by client.cpp and channel.cpp.
#pragma once

#include <cstdint>
#include <string>

#include "endpoint.h"
#include "layout.h"
#include "socket.h"

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

// Connects and shakes hands. While `patience` lasts, a server that is draining, busy, or dies meanwhile is tried again.
// Throws what Endpoint::connect throws, what the server refused with, TIMEOUT, PROTOCOL, OUT_OF_MEMORY.
Connection shake_hands(Endpoint& endpoint, const Wish& wish, Deadline patience, Deadline deadline);

// The model id of a WELCOME, "" where there is none. Checked by shake_hands.
std::string model_id_of(const Welcome& welcome);

}  // namespace sidecall::shm
