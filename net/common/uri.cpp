// Reads parts of URIs; see uri.h.
#include "uri.h"

#include <algorithm>
#include <optional>

#include "base/text/utf8.h"

namespace sidecall::net {
namespace {

constexpr size_t kMaxSocketPath = 107;  // sun_path without its NUL

}  // namespace

const NetworkScheme& scheme_of(std::string_view text, const char* what) {
  const bool is_visible =
      std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
  if (!is_visible)
    refuse_uri(what, "visible ASCII characters, others percent-encoded", "another character");
  const NetworkScheme* const scheme = network_scheme(text);
  if (scheme == nullptr)
    refuse_uri(what,
               "http://, https://, http+unix:, grpc://, grpcs:// or grpc+unix:", "another scheme");
  return *scheme;
}

std::string decode_part(std::string_view text, const std::string& part, const char* what) {
  const std::optional<std::string> decoded = decode_escapes(text);
  if (!decoded)
    refuse_uri(what, "two hexadecimal digits after each % of " + part, "other characters");
  if (!is_utf8_without_nul(*decoded))
    refuse_uri(what, part + " in UTF-8 without NUL", "other bytes");
  return *decoded;
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
