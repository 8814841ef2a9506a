// Finds the IP addresses of a name on a thread of its own, because the system's resolver can take
// longer than any deadline.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace sidecall::net {

// Calls `done` on that thread with the IP addresses in the form of a URI (an IPv6 address in
// brackets), each once, at most `most`. There are none if the name is unknown. Returns false if no
// thread could be started, and then never calls `done`.
bool resolve(const std::string& name, size_t most,
             std::function<void(const std::vector<std::string>& ips)> done);

}  // namespace sidecall::net
