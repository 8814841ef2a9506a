// Writes strings as JSON. The functions are inline for speed: every JSON answer is written with
// them.
#pragma once

#include <string>
#include <string_view>

namespace sidecall {

// Appends the escape of a character, for example "\u001b". `character` is its number, which must be
// below 0x10000.
inline void append_unicode_escape(unsigned character, std::string* out) {
  static constexpr char kHex[] = "0123456789abcdef";
  const char escape[] = {'\\',
                         'u',
                         kHex[character >> 12 & 15],
                         kHex[character >> 8 & 15],
                         kHex[character >> 4 & 15],
                         kHex[character & 15]};
  out->append(escape, sizeof escape);
}

// Appends the text as a JSON string with its quotes. Quotes, backslashes and control characters are
// escaped; all other bytes are copied, so UTF-8 stays UTF-8.
inline void append_json_string(std::string_view text, std::string* out) {
  out->push_back('"');
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out->push_back('\\');
      out->push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      append_unicode_escape(static_cast<unsigned char>(c), out);
    } else {
      out->push_back(c);
    }
  }
  out->push_back('"');
}

}  // namespace sidecall
