// Checks and cleans text; see text.h.
#include "text.h"

#include <cstdint>
#include <cstring>

#include "base/json/json_text.h"
#include "base/text/number.h"
#include "base/text/utf8.h"

namespace sidecall {

size_t find_non_json(std::string_view text) noexcept {
  constexpr uint64_t kHighBits = UINT64_C(0x8080808080808080);
  constexpr uint64_t kBlanks = UINT64_C(0x2020202020202020);
  size_t at = 0;
  while (at < text.size()) {
    uint64_t eight = 0;
    if (at + 8 <= text.size()) {
      std::memcpy(&eight, text.data() + at, 8);
      // The subtraction sets the high bit of a byte that is below 0x20.
      if (((eight | (eight - kBlanks)) & kHighBits) == 0) {
        at += 8;
        continue;
      }
    }
    const char c = text[at];
    const bool is_control =
        static_cast<unsigned char>(c) < 0x20 && c != '\t' && c != '\n' && c != '\r';
    const size_t length = is_control ? 0 : character_length(text, at);
    if (length == 0) return at;
    at += length;
  }
  return at;
}

bool is_number(std::string_view text) noexcept {
  return read_number(text).kind != Number::Kind::kNone &&
         text.find_first_of("nN") == std::string_view::npos;
}

std::string printable(const std::string& text) {
  std::string shown;
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80) {
      const size_t length = character_length(text, at);
      const auto next = static_cast<unsigned char>(length == 2 ? text[at + 1] : 0);
      // U+0080 to U+009F are control characters too, and can control terminals.
      if (byte == 0xc2 && length == 2 && next < 0xa0) append_unicode_escape(next, &shown);
      else shown += length == 0 ? "?" : text.substr(at, length);
      at += length == 0 ? 0 : length - 1;
    } else if (byte >= 0x20 && byte != 0x7f) {
      shown += c;
    } else if (c == '\n' || c == '\t' || c == '\r') {
      shown += c == '\n' ? "\\n" : c == '\t' ? "\\t" : "\\r";
    } else {
      append_unicode_escape(byte, &shown);
    }
  }
  return shown;
}

std::string one_line(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' '))
    text.pop_back();
  for (char& c : text) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  return text;
}

const char* string_fault(std::string_view text) noexcept {
  // Most strings of records are short and consist of ASCII without NUL.
  constexpr size_t kShort = 64;
  bool is_plain = text.size() <= kShort;
  for (size_t i = 0; is_plain && i < text.size(); ++i)
    is_plain = static_cast<unsigned char>(text[i] - 1) < 0x7f;
  if (is_plain) return nullptr;
  if (!is_utf8(text)) return "a string that is not UTF-8";
  if (text.find('\0') != std::string_view::npos) return "a string with a NUL";
  return nullptr;
}

}  // namespace sidecall
