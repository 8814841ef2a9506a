// Checks the header Host; used by the router.
#pragma once

#include <string_view>

namespace sidecall::net {

// Whether a text is HOST or HOST:PORT as RFC 9110 and RFC 3986 define it: a name, an IPv4 address,
// or an IPv6 address in brackets. "[::1]evil.example" is none of them.
bool is_host_field(std::string_view text) noexcept;

}  // namespace sidecall::net
