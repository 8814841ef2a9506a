// Splits the URI of a local model; see uri.h.
#include "uri.h"

#include <sidecall/sidecall.h>

#include <utility>

#include "base/text/uri.h"
#include "error.h"
#include "platform.h"

namespace sidecall {
namespace {

std::string decode(std::string_view path) {
  std::optional<std::string> decoded = decode_escapes(path);
  if (!decoded || decoded->find('\0') != std::string::npos)
    throw Error(SIDECALL_INVALID_ARGUMENT,
                "uri '" + std::string(path) +
                    "': expected two hexadecimal digits, and not 00, after each '%'");
  return *std::move(decoded);
}

// The path that `uri` names. A file whose name begins like a scheme can be opened as ./name.
std::string path_of(const std::string& uri) {
  const std::string scheme(uri_scheme(uri));
  if (scheme.empty()) return uri;
  if (scheme != "file")
    throw Error(SIDECALL_UNSUPPORTED,
                "uri '" + uri +
                    "': expected a path, file:, shm:, exec:, http:, https:, grpc: or grpcs:, got "
                    "the scheme '" +
                    scheme + "'");
  constexpr std::string_view kLocalhost = "//localhost/", kNoHost = "///";
  const std::string_view location = std::string_view(uri).substr(scheme.size() + 1);
  if (location.substr(0, kLocalhost.size()) == kLocalhost)
    return decode(location.substr(kLocalhost.size() - 1));
  if (location.substr(0, kNoHost.size()) == kNoHost)
    return decode(location.substr(kNoHost.size() - 1));
  if (location.substr(0, 2) != "//" && location.substr(0, 1) == "/") return decode(location);
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
