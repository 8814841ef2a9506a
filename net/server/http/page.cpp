// Finds and sends the files of the page; see page.h.
#include "page.h"

#include <string>

#include "net/server/router.h"

namespace sidecall::net {
namespace {

constexpr std::string_view kIndex = "index.html", kFolder = "/page/";

constexpr const char* kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const char* type_of(std::string_view name) {
  const std::string_view ending = name.substr(name.rfind('.') + 1);
  if (ending == "html") return "text/html; charset=utf-8";
  return ending == "css" ? "text/css; charset=utf-8" : "text/javascript; charset=utf-8";
}

}  // namespace

const PageFile* find_page_file(std::string_view path) noexcept {
  const bool is_in_folder = path.substr(0, kFolder.size()) == kFolder;
  if (path != "/" && !is_in_folder) return nullptr;
  const std::string_view name = is_in_folder ? path.substr(kFolder.size()) : kIndex;
  if (is_in_folder && name == kIndex) return nullptr;
  for (size_t i = 0; i < kNumPageFiles; ++i) {
    if (kPageFiles[i].name == name) return &kPageFiles[i];
  }
  return nullptr;
}

Response page_response(const PageFile& file) {
  Response response = text_response(200, type_of(file.name), std::string(file.content));
  response.headers.emplace_back("content-security-policy", kPolicy);
  response.headers.emplace_back("referrer-policy", "no-referrer");
  response.headers.emplace_back("cross-origin-opener-policy", "same-origin");
  response.headers.emplace_back("cross-origin-resource-policy", "same-origin");
  // Another server, or another version, may answer at this address next time.
  response.headers.emplace_back("cache-control", "no-cache");
  return response;
}

}  // namespace sidecall::net
