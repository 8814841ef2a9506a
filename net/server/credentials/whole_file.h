// Reads a small file that an option names.
#pragma once

#include <string>

namespace sidecall::net {

// Throws INVALID_ARGUMENT, with `option` and what it expects, if there is no regular file at the
// path, if it cannot be read, or if it has more than `max_bytes`.
std::string read_whole(const std::string& path, const char* option, const char* expected,
                       size_t max_bytes);

}  // namespace sidecall::net
