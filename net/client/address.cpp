// Reads URIs; see address.h.
#include "address.h"

#include <arpa/inet.h>
#include <sidecall/sidecall.h>

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

#include "base/percent.h"
#include "base/utf8.h"
#include "net/common/error.h"

namespace sidecall::net {
namespace {

struct Scheme {
  std::string_view start;
  Protocol protocol;
  bool is_secure;
  bool is_socket;
  int port;
};

// Without a port in the URI, http and https use those of the web, as everywhere. gRPC has none that
// everyone uses; 8001 is that of Triton, MLServer uses 8081.
constexpr Scheme kSchemes[] = {{"http://", Protocol::kHttp, false, false, 80},
                               {"https://", Protocol::kHttp, true, false, 443},
                               {"http+unix:", Protocol::kHttp, false, true, 0},
                               {"grpc://", Protocol::kGrpc, false, false, 8001},
                               {"grpcs://", Protocol::kGrpc, true, false, 443},
                               {"grpc+unix:", Protocol::kGrpc, false, true, 0}};
constexpr size_t kMaxSocketPath = 107;  // sun_path without its NUL

[[noreturn]] void refuse(const std::string& expected, const std::string& got) {
  throw Error(SIDECALL_INVALID_ARGUMENT, "uri: expected " + expected + ", got " + got);
}

std::string percent_decode(std::string_view text, const std::string& what) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded.push_back(text[i]);
      continue;
    }
    const int byte = escaped_byte(text, i);
    if (byte < 0) refuse("two hexadecimal digits after each % of " + what, "other characters");
    decoded.push_back(static_cast<char>(byte));
    i += 2;
  }
  if (!is_utf8_without_nul(decoded)) refuse(what + " in UTF-8 without NUL", "other bytes");
  return decoded;
}

// Everything in a URI is visible ASCII; other characters are percent-encoded.
void require_visible(std::string_view uri) {
  for (const char c : uri) {
    if (c <= ' ' || c > '~')
      refuse("visible ASCII characters, others percent-encoded", "another character");
  }
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
  if (value.empty()) refuse("a value for each option of the query", "none");
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

void read_query(std::string_view query, Address* address) {
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view option = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    const size_t equals = option.find('=');
    if (equals == std::string_view::npos) refuse("NAME=VALUE in the query", "no =");
    read_option(option.substr(0, equals), percent_decode(option.substr(equals + 1), "the query"),
                address);
  }
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
    refuse_dots(percent_decode(rest.substr(0, end), "the path"));
    rest.remove_prefix(end);
  }
}

}  // namespace

std::string percent_encode(const std::string& text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
        c == '.' || c == '_' || c == '~') {
      encoded.push_back(c);
    } else {
      encoded.append({'%', kHex[byte >> 4], kHex[byte & 15]});
    }
  }
  return encoded;
}

Address read_address(const std::string& uri) {
  require_visible(uri);
  const auto scheme = std::find_if(
      std::begin(kSchemes), std::end(kSchemes),
      [&](const Scheme& each) { return uri.compare(0, each.start.size(), each.start) == 0; });
  if (scheme == std::end(kSchemes))
    refuse("http://, https://, http+unix:, grpc://, grpcs:// or grpc+unix:", "another scheme");
  Address address;
  address.protocol = scheme->protocol;
  address.is_secure = scheme->is_secure;
  std::string_view rest = std::string_view(uri).substr(scheme->start.size());
  if (rest.find('#') != std::string_view::npos) refuse("no fragment", "a #");
  const size_t question = rest.find('?');
  const bool has_query = question != std::string_view::npos;
  if (has_query) read_query(rest.substr(question + 1), &address);
  rest = rest.substr(0, question);
  address.label = "server '" + uri.substr(0, scheme->start.size() + rest.size()) + "'";

  const size_t slash = rest.rfind('/');
  if (slash == std::string_view::npos || slash + 1 == rest.size())
    refuse("the name of a model after the last /", "none");
  address.model = percent_decode(rest.substr(slash + 1), "the name of the model");
  rest = rest.substr(0, slash);
  if (scheme->is_socket) {
    if (rest.compare(0, 2, "//") == 0) rest.remove_prefix(2);
    address.socket = percent_decode(rest, "the path of the socket");
    if (address.socket.empty() || address.socket.front() != '/')
      refuse("an absolute path of a socket", "another path");
    if (address.socket.size() > kMaxSocketPath)
      refuse("a path of a socket of at most 107 bytes", "a longer one");
  } else {
    const size_t end = std::min(rest.find('/'), rest.size());
    address.prefix = rest.substr(end);
    if (!address.prefix.empty() && address.protocol == Protocol::kGrpc)
      refuse("a host and a model", "further parts of a path");
    address.hosts = read_hosts(rest.substr(0, end), scheme->port);
  }
  check(address);
  check_path(address);
  return address;
}

}  // namespace sidecall::net
