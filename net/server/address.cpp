// Reads addresses of servers; see address.h.
#include "address.h"

#include <arpa/inet.h>
#include <sidecall/sidecall.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <string_view>
#include <utility>

#include "net/common/uri.h"

namespace sidecall::net {
namespace {

[[noreturn]] void refuse(const std::string& expected, const std::string& got) {
  refuse_uri("at", expected, got);
}

void read_option(std::string_view name, const std::string& value, ServerAddress* address) {
  if (name == "host") return address->host_names.push_back(value);
  if (name == "insecure" || name == "repeatable") {
    if (value != "yes") refuse(std::string(name) + "=yes", "another value");
    (name == "insecure" ? address->is_insecure : address->is_repeatable) = true;
    return;
  }
  const std::pair<std::string_view, std::string*> texts[] = {{"name", &address->name},
                                                             {"cert", &address->cert},
                                                             {"key", &address->key},
                                                             {"client_ca", &address->client_ca},
                                                             {"tokens", &address->tokens}};
  const auto* const known = std::find_if(std::begin(texts), std::end(texts),
                                         [&](const auto& each) { return each.first == name; });
  if (known == std::end(texts))
    refuse(
        "the options name, cert, key, client_ca, tokens, insecure, repeatable and host in the "
        "query",
        "another option");
  if (!known->second->empty()) refuse("each option once", "'" + std::string(name) + "' twice");
  *known->second = value;
}

void read_host(std::string_view text, ServerAddress* address) {
  const size_t colon = text.rfind(':');
  const size_t bracket = text.rfind(']');
  if (colon == std::string_view::npos || (bracket != std::string_view::npos && colon < bracket))
    refuse("HOST:PORT", "no port");
  const std::string_view port = text.substr(colon + 1);
  const auto read = std::from_chars(port.data(), port.data() + port.size(), address->port);
  if (read.ec != std::errc() || read.ptr != port.data() + port.size() || address->port < 0 ||
      address->port > 65535)
    refuse("a port from 0 to 65535", "other text");
  std::string_view host = text.substr(0, colon);
  if (!host.empty() && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  const bool is_valid = std::all_of(host.begin(), host.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == ':';
  });
  if (host.empty() || !is_valid)
    refuse("the name or IP address of this host before the port",
           host.empty() ? "nothing" : "other text");
  address->host = host;
}

bool is_loopback(const std::string& host) {
  in_addr ip4{};
  in6_addr ip6{};
  if (inet_pton(AF_INET, host.c_str(), &ip4) == 1) return (ntohl(ip4.s_addr) >> 24) == 127;
  if (inet_pton(AF_INET6, host.c_str(), &ip6) == 1) return IN6_IS_ADDR_LOOPBACK(&ip6);
  return host == "localhost";
}

void check(const ServerAddress& address) {
  if (address.is_secure && (address.cert.empty() || address.key.empty()))
    refuse("cert=FILE and key=FILE for TLS", "none, or only one of them");
  if (!address.is_secure &&
      (!address.cert.empty() || !address.key.empty() || !address.client_ca.empty()))
    refuse("cert, key and client_ca only with https:// or grpcs://", "a scheme without TLS");
  const bool is_guarded =
      !address.tokens.empty() || !address.client_ca.empty() || address.is_insecure;
  if (address.socket.empty() && !is_loopback(address.host) && !is_guarded)
    throw Error(SIDECALL_DENIED,
                "at: expected tokens=FILE, client_ca=FILE or insecure=yes for an address beyond "
                "this host, got none of them");
}

}  // namespace

ServerAddress read_server_address(const std::string& at) {
  const NetworkScheme& scheme = scheme_of(at, "at");
  ServerAddress address;
  address.is_grpc = scheme.is_grpc;
  address.is_secure = scheme.is_secure;
  std::string_view rest = std::string_view(at).substr(scheme.start.size());
  const size_t question = rest.find('?');
  if (question != std::string_view::npos)
    read_options(rest.substr(question + 1), "at",
                 [&](std::string_view name, const std::string& value) {
                   read_option(name, value, &address);
                 });
  rest = rest.substr(0, question);
  address.label = std::string(scheme.start) + std::string(rest);
  if (scheme.is_socket) {
    address.socket = socket_path(rest, "at");
  } else {
    if (!rest.empty() && rest.back() == '/') rest.remove_suffix(1);
    if (rest.find('/') != std::string_view::npos) refuse("HOST:PORT without a path", "a path");
    read_host(rest, &address);
  }
  check(address);
  return address;
}

}  // namespace sidecall::net
