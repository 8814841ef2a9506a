// Converts sidecall_server_options and the address of a server to the types of the channel. Used by
// servers and supervisors.
#pragma once

#include <sidecall/server.h>

#include <string>

#include "shm/server/server.h"

namespace sidecall {

constexpr int64_t kDefaultDrainNs = INT64_C(10) * 1000 * 1000 * 1000;

shm::ServerOptions channel_options(const sidecall_server_options& options, shm::LogFunction log);

// The part of an address after "shm:". Throws INVALID_ARGUMENT for other schemes.
std::string address_of(const std::string& at);

// The descriptor that SIDECALL_FD names. Throws INVALID_ARGUMENT.
int inherited_control_socket();

}  // namespace sidecall
