// Finds and loads libsidecall-net.so, which only models and servers at network addresses need.
#pragma once

#include <string>

#include "net/api/net.h"
#include "net/api/serving.h"

namespace sidecall {

// Loads the library at the first call. It stays loaded. Throws UNSUPPORTED if there is none, or one
// of another version.
const sidecall_net_api& net_library();
// The file that was loaded. Throws the same.
const std::string& net_library_path();
// The part of the library that serves models. Throws the same.
const sidecall_net_server_api& net_serving_library();

}  // namespace sidecall
