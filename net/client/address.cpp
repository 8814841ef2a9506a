// Reads URIs; see address.h.
#include "address.h"

#include <arpa/inet.h>
#include <sidecall/sidecall.h>

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

#include "net/common/uri.h"

namespace sidecall::net {
namespace {

[[noreturn]] void refuse(const std::string& expected, const std::string& got) {
  refuse_uri("uri", expected, got);
}

Host read_host(std::string_view text, int default_port) {
  Host host;
  host.port = default_port;
  const size_t bracket = text.find(']');
  const size_t colon = text.find(':', bracket == std::string_view::npos ? 0 : bracket);
  host.name = text.substr(0, colon);
  if (colon != std::string_view::npos) {
    const std::string_view port = text.substr(colon + 1);
    const auto read = std::from_chars(port.data(), port.data() + port.size(), host.port);
    if (read.ec != std::errc() || read.ptr != port.data() + port.size() || host.port < 1 ||
        host.port > 65535)
      refuse("a port from 1 to 65535 after the host", "other text");
  }
  const bool is_ip6 = !host.name.empty() && host.name.front() == '[';
  const auto is_allowed = [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || (is_ip6 && (c == ':' || c == '[' || c == ']'));
  };
  const bool has_end = !is_ip6 || host.name.find(']') + 1 == host.name.size();
  if (host.name.empty() || !has_end || !std::all_of(host.name.begin(), host.name.end(), is_allowed))
    refuse("the name or the IP address of a host", host.name.empty() ? "nothing" : "other text");
  in6_addr parsed{};
  if (is_ip6) {
    const std::string ip = host.name.substr(1, host.name.size() - 2);
    if (inet_pton(AF_INET6, ip.c_str(), &parsed) != 1)
      refuse("an IPv6 address in brackets", "other text");
  }
  host.is_literal = is_ip6 || inet_pton(AF_INET, host.name.c_str(), &parsed) == 1;
  return host;
}

// Several hosts are separated by commas.
std::vector<Host> read_hosts(std::string_view text, int default_port) {
  if (text.find('@') != std::string_view::npos)
    refuse("a host without user and password (?token=FILE names a token)", "an @");
  std::vector<Host> hosts;
  for (;;) {
    const size_t comma = text.find(',');
    const Host host = read_host(text.substr(0, comma), default_port);
    const bool is_known = std::any_of(hosts.begin(), hosts.end(), [&](const Host& other) {
      return other.name == host.name && other.port == host.port;
    });
    if (is_known) refuse("each host once", "one of them twice");
    if (hosts.size() == kMaxHosts)
      refuse("at most " + std::to_string(kMaxHosts) + " hosts", "more");
    hosts.push_back(host);
    if (comma == std::string_view::npos) return hosts;
    text.remove_prefix(comma + 1);
  }
}

void read_option(std::string_view name, const std::string& value, Address* address) {
  const std::pair<std::string_view, std::string*> texts[] = {
      {"version", &address->version}, {"contract", &address->contract}, {"ca", &address->ca},
      {"cert", &address->cert},       {"key", &address->key},           {"token", &address->token}};
  for (const auto& [known, to] : texts) {
    if (name != known) continue;
    if (!to->empty()) refuse("each option of the query once", "'" + std::string(name) + "' twice");
    *to = value;
    return;
  }
  if (name != "format")
    refuse("the options version, contract, format, ca, cert, key and token in the query",
           "another option");
  if (address->format != Format::kAuto) refuse("each option of the query once", "'format' twice");
  if (value == "binary") address->format = Format::kBinary;
  else if (value == "json") address->format = Format::kJson;
  else refuse("format=binary or format=json", "another format");
}

void check(const Address& address) {
  if (address.protocol == Protocol::kGrpc && address.format != Format::kAuto)
    refuse("format only over HTTP", "format with gRPC");
  if (!address.is_secure && (!address.ca.empty() || !address.cert.empty() || !address.key.empty()))
    refuse("ca, cert and key only with https:// or grpcs://", "a scheme without TLS");
  if (address.cert.empty() != address.key.empty()) refuse("cert and key together", "one of them");
}

// libcurl and servers resolve such parts of a path.
void refuse_dots(std::string_view part) {
  if (part == "." || part == "..") refuse("names other than . and .. in a path", "one of them");
}

void check_path(const Address& address) {
  refuse_dots(address.model);
  refuse_dots(address.version);
  for (std::string_view rest = address.prefix; !rest.empty();) {
    rest.remove_prefix(1);
    const size_t end = std::min(rest.find('/'), rest.size());
    refuse_dots(decode_part(rest.substr(0, end), "the path", "uri"));
    rest.remove_prefix(end);
  }
}

}  // namespace

Address read_address(const std::string& uri) {
  const NetworkScheme& scheme = scheme_of(uri, "uri");
  Address address;
  address.protocol = scheme.is_grpc ? Protocol::kGrpc : Protocol::kHttp;
  address.is_secure = scheme.is_secure;
  std::string_view rest = std::string_view(uri).substr(scheme.start.size());
  if (rest.find('#') != std::string_view::npos) refuse("no fragment", "a #");
  const size_t question = rest.find('?');
  if (question != std::string_view::npos)
    read_options(rest.substr(question + 1), "uri",
                 [&](std::string_view name, const std::string& value) {
                   read_option(name, value, &address);
                 });
  rest = rest.substr(0, question);
  address.label = "server '" + uri.substr(0, scheme.start.size() + rest.size()) + "'";

  const size_t slash = rest.rfind('/');
  if (slash == std::string_view::npos || slash + 1 == rest.size())
    refuse("the name of a model after the last /", "none");
  address.model = decode_part(rest.substr(slash + 1), "the name of the model", "uri");
  rest = rest.substr(0, slash);
  if (scheme.is_socket) {
    address.socket = socket_path(rest, "uri");
  } else {
    const size_t end = std::min(rest.find('/'), rest.size());
    address.prefix = rest.substr(end);
    if (!address.prefix.empty() && address.protocol == Protocol::kGrpc)
      refuse("a host and a model", "further parts of a path");
    address.hosts = read_hosts(rest.substr(0, end), scheme.port);
  }
  check(address);
  check_path(address);
  return address;
}

}  // namespace sidecall::net
