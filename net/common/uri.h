// What the URIs of clients and the addresses of servers have in common. `what` names the text in
// messages: "uri" or "at".
#pragma once

#include <sidecall/sidecall.h>

#include <string>
#include <string_view>

#include "base/text/uri.h"
#include "error.h"

namespace sidecall::net {

[[noreturn]] inline void refuse_uri(const char* what, const std::string& expected,
                                    const std::string& got) {
  throw Error(SIDECALL_INVALID_ARGUMENT,
              std::string(what) + ": expected " + expected + ", got " + got);
}

// All of the following throw INVALID_ARGUMENT.

// The scheme of a text, which must be visible ASCII.
const NetworkScheme& scheme_of(std::string_view text, const char* what);
// Decodes a part of the text, which `part` names.
std::string decode_part(std::string_view text, const std::string& part, const char* what);
// The path of a Unix socket, from what follows the scheme.
std::string socket_path(std::string_view text, const char* what);

// Calls found(name, value) with each NAME=VALUE of a query.
template <typename Found>
void read_options(std::string_view query, const char* what, Found found) {
  const bool is_whole = read_query(query, [&](std::string_view name, std::string_view text) {
    const std::string value = decode_part(text, "the query", what);
    if (value.empty()) refuse_uri(what, "a value for each option of the query", "none");
    found(name, value);
  });
  if (!is_whole) refuse_uri(what, "NAME=VALUE in the query", "no =");
}

}  // namespace sidecall::net
