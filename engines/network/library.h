// Finds and loads libsidecall-net.so, which only models with a network URI need.
#pragma once

#include "net/api/net.h"

namespace sidecall {

// Loads the library at the first call. It stays loaded. Throws UNSUPPORTED if there is none, or one
// of another version.
const sidecall_net_api& net_library();

}  // namespace sidecall
