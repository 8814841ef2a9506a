// Connects to a server step by step, for diagnosis.
#pragma once

#include <cstdint>
#include <string>

#include "exchange.h"
#include "net/client/address.h"
#include "net/client/replicas.h"

namespace sidecall::net {

// What one step found: its status, and what was found or why it failed.
struct Finding {
  int32_t status;
  std::string text;
};

// How far the attempt to connect came. `tls` is filled only if the address asks for TLS and the
// connection succeeded.
struct Connected {
  Finding connection;
  bool has_tls = false;
  Finding tls;
};

// Makes a connection of its own, does the handshake of TLS, and closes the connection.
Connected connect_once(const Address& address, const Replica& replica, Clock::time_point deadline);

}  // namespace sidecall::net
