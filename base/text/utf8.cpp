// Checks UTF-8; see utf8.h.
#include "utf8.h"

#include <cstdint>
#include <cstring>

namespace sidecall {
namespace {

// How many bytes of ASCII the text begins with.
size_t ascii_length(std::string_view text) noexcept {
  constexpr uint64_t kHighBits = UINT64_C(0x8080808080808080);
  size_t at = 0;
  for (uint64_t parts[4]; at + sizeof parts <= text.size(); at += sizeof parts) {
    std::memcpy(parts, text.data() + at, sizeof parts);
    if (((parts[0] | parts[1] | parts[2] | parts[3]) & kHighBits) != 0) break;
  }
  for (uint64_t part; at + sizeof part <= text.size(); at += sizeof part) {
    std::memcpy(&part, text.data() + at, sizeof part);
    if ((part & kHighBits) != 0) break;
  }
  while (at < text.size() && static_cast<unsigned char>(text[at]) < 0x80) ++at;
  return at;
}

}  // namespace

size_t utf8_length(std::string_view text) noexcept {
  size_t at = 0;
  while (at < text.size()) {
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      at += ascii_length(text.substr(at));
      continue;
    }
    const size_t length = character_length(text, at);
    if (length == 0) return at;
    at += length;
  }
  return at;
}

}  // namespace sidecall
