// What the URIs of clients and the addresses of servers have in common. `what` names the text in
// messages: "uri" or "at".
#pragma once

#include <sidecall/sidecall.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "error.h"

namespace sidecall::net {

struct Scheme {
  std::string_view start;
  bool is_grpc;
  bool is_secure;  // TLS
  bool is_socket;
  int port;  // of a client's URI without one
};

[[noreturn]] inline void refuse_uri(const char* what, const std::string& expected,
                                    const std::string& got) {
  throw Error(SIDECALL_INVALID_ARGUMENT,
              std::string(what) + ": expected " + expected + ", got " + got);
}

// All of the following throw INVALID_ARGUMENT.

// The scheme of a text, which must be visible ASCII.
const Scheme& scheme_of(std::string_view text, const char* what);
// Decodes a part of the text, which `part` names.
std::string decode_part(std::string_view text, const std::string& part, const char* what);
// The path of a Unix socket, from what follows the scheme.
std::string socket_path(std::string_view text, const char* what);

// Calls found(name, value) with each NAME=VALUE of a query.
template <typename Found>
void read_query(std::string_view query, const char* what, Found found) {
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view option = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    const size_t equals = option.find('=');
    if (equals == std::string_view::npos) refuse_uri(what, "NAME=VALUE in the query", "no =");
    const std::string value = decode_part(option.substr(equals + 1), "the query", what);
    if (value.empty()) refuse_uri(what, "a value for each option of the query", "none");
    found(option.substr(0, equals), value);
  }
}

}  // namespace sidecall::net
