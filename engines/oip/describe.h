// Describes the network route of this machine, and the way to a server, as JSON.
#pragma once

#include <cstdint>
#include <string>

namespace sidecall {

// The object that sidecall_network_describe documents. `uri` may be "": then no server is asked.
// Throws UNSUPPORTED, INVALID_ARGUMENT, FILE_NOT_FOUND.
std::string describe_network(const std::string& uri, int64_t timeout_ns);

}  // namespace sidecall
