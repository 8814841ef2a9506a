// Sets of characters, the regular expressions of tokens, and tables that replace characters.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace sidecall::native {

constexpr uint32_t kNumCharacters = 0x110000;  // of Unicode

// The character at the start of a UTF-8 text; `length` is character_length() and not 0.
inline uint32_t decode_character(const char* at, size_t length) {
  const auto bits = [&](size_t i) { return static_cast<uint32_t>(at[i]) & 0x3f; };
  const auto first = static_cast<uint32_t>(static_cast<unsigned char>(at[0]));
  if (length == 1) return first;
  if (length == 2) return (first & 0x1f) << 6 | bits(1);
  if (length == 3) return (first & 0x0f) << 12 | bits(1) << 6 | bits(2);
  return (first & 0x07) << 18 | bits(1) << 12 | bits(2) << 6 | bits(3);
}

// The character, if the text is exactly one character of UTF-8.
std::optional<uint32_t> single_character(std::string_view text);

class CharacterSet {
 public:
  CharacterSet() : pages_(2) { pages_[kFull].fill(UINT64_MAX); }

  void add(uint32_t first, uint32_t last);  // first <= last < kNumCharacters
  void invert() { is_inverted_ = !is_inverted_; }
  bool contains(uint32_t character) const {
    const uint32_t page = character / kPageSize;
    if (page >= page_of_.size()) return is_inverted_;
    const uint64_t word = pages_[page_of_[page]][character % kPageSize / kBits];
    return ((word >> (character % kBits) & 1) != 0) != is_inverted_;
  }
  // The first character from `begin` on that is not in the set; kNumCharacters if there is none.
  uint32_t find_missing(uint32_t begin) const;

 private:
  static constexpr uint32_t kPageSize = 256;
  static constexpr uint32_t kBits = 64;
  static constexpr uint16_t kEmpty = 0, kFull = 1;  // pages that are shared

  std::vector<std::array<uint64_t, kPageSize / kBits>> pages_;
  std::vector<uint16_t> page_of_;  // up to the last character that was added
  bool is_inverted_ = false;
};

// A token is a run of at least `least` characters of the set, as long as possible.
struct TokenExpression {
  CharacterSet characters;
  uint32_t least = 1;
};

// Reads a regular expression (RE2) that is one character class and, if `is_repeated`, "+" or
// "{n,}". The class has ASCII letters, digits and symbols without a meaning of their own, \x{...},
// and ranges of these; it may be negated. Returns nullopt for every other expression.
std::optional<TokenExpression> parse_token_expression(std::string_view text, bool is_repeated);

// A text for some characters.
class CharacterMap {
 public:
  CharacterMap() : pages_(1) {}

  // If the character has a text already, it keeps that.
  void add(uint32_t character, std::string_view text);
  // nullptr if the character has no text.
  const std::string_view* find(uint32_t character) const {
    const uint32_t page = character / kPageSize;
    if (page >= page_of_.size()) return nullptr;
    const uint32_t at = pages_[page_of_[page]][character % kPageSize];
    return at == 0 ? nullptr : &texts_[at - 1];
  }

 private:
  static constexpr uint32_t kPageSize = 256;
  std::vector<std::string_view> texts_;
  // Position in texts_ + 1; 0 if there is none. Page 0 is empty and stands for all empty pages.
  std::vector<std::array<uint32_t, kPageSize>> pages_;
  std::vector<uint16_t> page_of_;  // up to the last character that was added
};

}  // namespace sidecall::native
