// Splits URIs. Everything that takes a URI or an address reads it with these functions.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "percent.h"

namespace sidecall {

// The scheme before the colon: at least two lower-case letters, digits, "+", "-" or ".". A text
// without one is a path, also "C:...": then the result is "".
inline std::string_view uri_scheme(std::string_view uri) noexcept {
  const size_t colon = uri.find(':');
  const bool has_scheme = colon != std::string_view::npos && colon > 1 &&
                          uri.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789+-.") == colon;
  return has_scheme ? uri.substr(0, colon) : std::string_view();
}

// What follows the colon, if the URI has this scheme.
inline std::optional<std::string_view> after_scheme(std::string_view uri,
                                                    std::string_view scheme) noexcept {
  if (uri_scheme(uri) != scheme) return std::nullopt;
  return uri.substr(scheme.size() + 1);
}

// A URI of the network, or the address of a server for it, begins with one of these.
struct NetworkScheme {
  std::string_view start;
  bool is_grpc;
  bool is_secure;  // TLS
  bool is_socket;  // a Unix socket
  int port;        // if the URI of a client names none
};

// http: and https: have standard ports. gRPC has none; 8001 is the port of Triton (MLServer uses
// 8081).
inline constexpr std::array<NetworkScheme, 6> kNetworkSchemes = {
    {{"http://", false, false, false, 80},
     {"https://", false, true, false, 443},
     {"http+unix:", false, false, true, 0},
     {"grpc://", true, false, false, 8001},
     {"grpcs://", true, true, false, 443},
     {"grpc+unix:", true, false, true, 0}}};

// nullptr if the text begins with none of them.
inline const NetworkScheme* network_scheme(std::string_view uri) noexcept {
  const auto* const found = std::find_if(
      kNetworkSchemes.begin(), kNetworkSchemes.end(),
      [&](const NetworkScheme& each) { return uri.substr(0, each.start.size()) == each.start; });
  return found == kNetworkSchemes.end() ? nullptr : found;
}

// Decodes each escape; nullopt if two hexadecimal digits do not follow each "%".
inline std::optional<std::string> decode_escapes(std::string_view text) {
  for (size_t i = text.find('%'); i != std::string_view::npos; i = text.find('%', i + 1)) {
    if (escaped_byte(text, i) < 0) return std::nullopt;
  }
  return percent_decode(text);
}

// Calls found(name, value) with each NAME=VALUE of a query, without decoding it. Returns false if a
// part has no "=".
template <typename Found>
bool read_query(std::string_view query, Found found) {
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view option = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    const size_t equals = option.find('=');
    if (equals == std::string_view::npos) return false;
    found(option.substr(0, equals), option.substr(equals + 1));
  }
  return true;
}

}  // namespace sidecall
