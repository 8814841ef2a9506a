// sidecall_server_options as the channel takes them, and where a server is asked to be. Used by server.cpp and supervisor.cpp.
#pragma once

#include <sidecall/server.h>

#include <atomic>
#include <memory>
#include <string>

#include "shm/server.h"

namespace sidecall {

constexpr int64_t kDefaultDrainNs = INT64_C(10) * 1000 * 1000 * 1000;

// The caller's options or the defaults, checked. Throws INVALID_ARGUMENT.
sidecall_server_options checked_options(const sidecall_server_options* options);

// `is_logging` may be turned off: what is said of a server that never came up is its error, and no log.
using LogGate = std::shared_ptr<std::atomic<bool>>;
shm::ServerOptions channel_options(const sidecall_server_options& options, const LogGate& is_logging);

// What follows "shm:". Throws INVALID_ARGUMENT, UNSUPPORTED for other schemes.
std::string address_of(const std::string& at);

// The descriptor that SIDECALL_FD names. Throws INVALID_ARGUMENT.
int inherited_control_socket();

}  // namespace sidecall
