// sidecall_server_options as a program gives them, checked. Used by server.cpp and supervisor.cpp.
#pragma once

#include <sidecall/server.h>

#include <memory>

#include "serving/log.h"

namespace sidecall {

// The caller's options or the defaults. Throws INVALID_ARGUMENT.
sidecall_server_options checked_options(const sidecall_server_options* options);

// What options.log asks for. Throws INVALID_ARGUMENT.
std::shared_ptr<ServerLog> make_log(const sidecall_server_options& options);

}  // namespace sidecall
