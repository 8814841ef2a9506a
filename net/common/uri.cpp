// Reads parts of URIs; see uri.h.
#include "uri.h"

#include <iterator>

#include "base/text/percent.h"
#include "base/text/utf8.h"

namespace sidecall::net {
namespace {

// The port if the URI has none. http: and https: use the standard ports. gRPC has no standard port;
// 8001 is the port of Triton (MLServer uses 8081).
constexpr Scheme kSchemes[] = {
    {"http://", false, false, false, 80},  {"https://", false, true, false, 443},
    {"http+unix:", false, false, true, 0}, {"grpc://", true, false, false, 8001},
    {"grpcs://", true, true, false, 443},  {"grpc+unix:", true, false, true, 0}};
constexpr size_t kMaxSocketPath = 107;  // sun_path without its NUL

}  // namespace

const Scheme& scheme_of(std::string_view text, const char* what) {
  const bool is_visible =
      std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
  if (!is_visible)
    refuse_uri(what, "visible ASCII characters, others percent-encoded", "another character");
  const Scheme* const scheme = std::find_if(
      std::begin(kSchemes), std::end(kSchemes),
      [&](const Scheme& each) { return text.compare(0, each.start.size(), each.start) == 0; });
  if (scheme == std::end(kSchemes))
    refuse_uri(what,
               "http://, https://, http+unix:, grpc://, grpcs:// or grpc+unix:", "another scheme");
  return *scheme;
}

std::string decode_part(std::string_view text, const std::string& part, const char* what) {
  for (size_t i = text.find('%'); i != std::string_view::npos; i = text.find('%', i + 1)) {
    if (escaped_byte(text, i) < 0)
      refuse_uri(what, "two hexadecimal digits after each % of " + part, "other characters");
  }
  std::string decoded = percent_decode(text);
  if (!is_utf8_without_nul(decoded))
    refuse_uri(what, part + " in UTF-8 without NUL", "other bytes");
  return decoded;
}

std::string socket_path(std::string_view text, const char* what) {
  if (text.compare(0, 2, "//") == 0) text.remove_prefix(2);
  std::string path = decode_part(text, "the path of the socket", what);
  if (path.empty() || path.front() != '/' || path.back() == '/')
    refuse_uri(what, "an absolute path of a socket", "another path");
  if (path.size() > kMaxSocketPath)
    refuse_uri(what, "a path of a socket of at most 107 bytes", "a longer one");
  return path;
}

}  // namespace sidecall::net
