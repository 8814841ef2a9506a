// Checks the header Host; see host_field.h.
#include "host_field.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace sidecall::net {
namespace {

bool is_alphanumeric(char c) noexcept {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_hex(char c) noexcept {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

// `reg-name` of RFC 3986, which includes IPv4 addresses; not empty.
bool is_name(std::string_view text) noexcept {
  constexpr std::string_view kOthers = "-._~!$&'()*+,;=";
  for (size_t i = 0; i < text.size(); ++i) {
    if (is_alphanumeric(text[i]) || kOthers.find(text[i]) != std::string_view::npos) continue;
    if (text[i] != '%' || i + 2 >= text.size() || !is_hex(text[i + 1]) || !is_hex(text[i + 2]))
      return false;
    i += 2;
  }
  return !text.empty();
}

bool is_ipv6(std::string_view text) noexcept {
  std::array<char, INET6_ADDRSTRLEN> copy{};
  if (text.size() >= copy.size()) return false;
  std::copy(text.begin(), text.end(), copy.begin());
  in6_addr address{};
  return ::inet_pton(AF_INET6, copy.data(), &address) == 1;
}

// What follows the host: nothing, or a colon and a port, which may be left out.
bool is_port(std::string_view text) noexcept {
  constexpr unsigned kMaxPort = 65535;
  if (text.empty() || text == ":") return true;
  unsigned port = 0;
  const char* const end = text.data() + text.size();
  const auto read = std::from_chars(text.data() + 1, end, port);
  return text.front() == ':' && read.ec == std::errc() && read.ptr == end && port <= kMaxPort;
}

}  // namespace

bool is_host_field(std::string_view text) noexcept {
  const bool is_bracketed = !text.empty() && text.front() == '[';
  const size_t end = std::min(text.find(is_bracketed ? ']' : ':'), text.size());
  if (!is_bracketed) return is_name(text.substr(0, end)) && is_port(text.substr(end));
  return end < text.size() && is_ipv6(text.substr(1, end - 1)) && is_port(text.substr(end + 1));
}

}  // namespace sidecall::net
