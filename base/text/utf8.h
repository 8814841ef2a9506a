// Checks UTF-8 (RFC 3629, section 4) and finds the boundaries of its characters.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace sidecall {

// Whether this byte of a UTF-8 text continues a character that began before it.
inline bool continues_character(char byte) noexcept {
  return (static_cast<unsigned char>(byte) & 0xc0) == 0x80;
}

// The length in bytes of the UTF-8 character at `at`; 0 if there is none. Overlong forms,
// surrogates and anything above U+10FFFF are not characters.
inline size_t character_length(std::string_view text, size_t at) noexcept {
  const auto byte = [&](size_t offset) {
    return at + offset < text.size() ? static_cast<unsigned char>(text[at + offset]) : 0U;
  };
  const auto is_tail = [&](size_t offset) { return (byte(offset) & 0xc0U) == 0x80U; };
  const unsigned first = byte(0), second = byte(1);
  if (first < 0x80) return at < text.size() ? 1 : 0;
  if (first < 0xc2) return 0;
  if (first < 0xe0) return is_tail(1) ? 2 : 0;
  if (first < 0xf0) {
    if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f)) return 0;
    return is_tail(1) && is_tail(2) ? 3 : 0;
  }
  if (first > 0xf4 || (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f))
    return 0;
  return is_tail(1) && is_tail(2) && is_tail(3) ? 4 : 0;
}

// The position of the first byte that is not UTF-8, or the length of the text.
size_t utf8_length(std::string_view text) noexcept;

inline bool is_utf8(std::string_view text) noexcept { return utf8_length(text) == text.size(); }

inline bool is_utf8_without_nul(std::string_view text) noexcept {
  return text.find('\0') == std::string_view::npos && is_utf8(text);
}

// The number of bytes that remain when a UTF-8 text is cut to at most `limit` bytes and no
// character is cut in two.
inline size_t cut_length(std::string_view text, size_t limit) noexcept {
  size_t length = std::min(text.size(), limit);
  while (length > 0 && length < text.size() && continues_character(text[length])) --length;
  return length;
}

// The number of characters (code points) of a UTF-8 text.
inline size_t count_characters(std::string_view text) noexcept {
  return text.size() -
         static_cast<size_t>(std::count_if(text.begin(), text.end(), continues_character));
}

}  // namespace sidecall
