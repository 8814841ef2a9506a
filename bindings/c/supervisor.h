// Lets server.cpp put a server in front of a supervisor.
#pragma once

#include <sidecall/server.h>

#include "serving/backend.h"

namespace sidecall {

// The workers of a supervisor.
Backend& backend_of(sidecall_supervisor& supervisor);

}  // namespace sidecall
