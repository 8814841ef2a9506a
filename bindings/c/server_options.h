// Checks the sidecall_server_options that a program passes. Used by server.cpp and supervisor.cpp.
#pragma once

#include <sidecall/server.h>

#include <memory>

#include "serving/log.h"

namespace sidecall {

// The caller's options, or the defaults for NULL. Throws INVALID_ARGUMENT.
sidecall_server_options checked_options(const sidecall_server_options* options);

// What options.log and options.events describe. Throws INVALID_ARGUMENT.
std::shared_ptr<ServerLog> make_log(const sidecall_server_options& options);

}  // namespace sidecall
