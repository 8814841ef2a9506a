// Splits the URI of a local model; see uri.h.
#include "uri.h"

#include <sidecall/sidecall.h>

#include <utility>

#include "base/text/percent.h"
#include "error.h"
#include "platform.h"

namespace sidecall {
namespace {

std::string percent_decode(const std::string& text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    const int byte = escaped_byte(text, i);
    if (byte <= 0)
      throw Error(
          SIDECALL_INVALID_ARGUMENT,
          "uri '" + text + "': expected two hexadecimal digits, and not 00, after each '%'");
    decoded += static_cast<char>(byte);
    i += 2;
  }
  return decoded;
}

// The path that `uri` names. It is a URI if it begins with a scheme: at least two lower-case
// letters, digits, "+", "-" or ".", then a colon. All else is a path, also "C:...". A file whose
// name begins like a scheme can be opened as ./name.
std::string path_of(const std::string& uri) {
  const size_t colon = uri.find(':');
  const bool has_scheme = colon != std::string::npos && colon > 1 &&
                          uri.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789+-.") == colon;
  if (!has_scheme) return uri;
  const std::string scheme = uri.substr(0, colon);
  if (scheme != "file")
    throw Error(SIDECALL_UNSUPPORTED,
                "uri '" + uri +
                    "': expected a path, file:, shm:, exec:, http:, https:, grpc: or grpcs:, got "
                    "the scheme '" +
                    scheme + "'");
  const std::string rest = uri.substr(colon + 1);
  const std::string localhost = "//localhost/";
  if (rest.compare(0, localhost.size(), localhost) == 0)
    return percent_decode(rest.substr(localhost.size() - 1));
  if (rest.compare(0, 3, "///") == 0) return percent_decode(rest.substr(2));
  if (rest.compare(0, 2, "//") != 0 && rest.compare(0, 1, "/") == 0) return percent_decode(rest);
  throw Error(SIDECALL_INVALID_ARGUMENT,
              "uri '" + uri + "': write it as file:///path or file:/path");
}

}  // namespace

std::optional<int32_t> engine_named(std::string_view word) noexcept {
  if (word == "auto") return SIDECALL_ENGINE_AUTO;
  if (word == "native") return SIDECALL_ENGINE_NATIVE;
  if (word == "onnxruntime") return SIDECALL_ENGINE_ONNXRUNTIME;
  return std::nullopt;
}

FileUri read_file_uri(const std::string& uri) {
  constexpr std::string_view kKey = "engine=";
  const size_t mark = uri.rfind('?');
  if (mark == std::string::npos) return {path_of(uri), std::nullopt};
  const std::string_view query = std::string_view(uri).substr(mark + 1);
  if (query.substr(0, kKey.size()) == kKey) {
    if (const std::optional<int32_t> engine = engine_named(query.substr(kKey.size())))
      return {path_of(uri.substr(0, mark)), engine};
  }
  std::string path = path_of(uri);
  const bool is_in_folder = query.find('/') != std::string_view::npos;
  if (!is_in_folder && !platform::is_file(path))
    throw Error(SIDECALL_INVALID_ARGUMENT,
                "uri '" + uri +
                    "': expected the path of a file, or the query ?engine=auto, ?engine=native or "
                    "?engine=onnxruntime, got neither");
  return {std::move(path), std::nullopt};
}

}  // namespace sidecall
