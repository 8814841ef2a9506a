// Checks UTF-8; see utf8.h.
#include "utf8.h"

#include <cstdint>
#include <cstring>

namespace sidecall {

size_t utf8_length(std::string_view text) noexcept {
  size_t at = 0;
  while (at < text.size()) {
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      uint64_t eight = UINT64_MAX;
      if (at + 8 <= text.size()) std::memcpy(&eight, text.data() + at, 8);
      at += (eight & UINT64_C(0x8080808080808080)) == 0 ? 8 : 1;
      continue;
    }
    const size_t length = character_length(text, at);
    if (length == 0) return at;
    at += length;
  }
  return at;
}

}  // namespace sidecall
