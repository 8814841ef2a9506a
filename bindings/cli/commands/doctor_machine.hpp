// What doctor finds besides the engine and Python: Node.js, the folder for sockets, limits of this process and machine.
#pragma once

#include "formats/json.hpp"

namespace sidecall::cli {

// An object with node, sockets and limits, as --json prints them.
JsonDocument look_at_machine();

}  // namespace sidecall::cli
