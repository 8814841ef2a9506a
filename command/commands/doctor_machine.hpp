// Inspects everything that doctor shows besides the engine and Python: Node.js, the folder for
// sockets, limits of this process and machine.
#pragma once

#include "formats/json.hpp"

namespace sidecall::cli {

// Returns an object with the members node, sockets and limits, which --json prints.
JsonDocument look_at_machine();

}  // namespace sidecall::cli
