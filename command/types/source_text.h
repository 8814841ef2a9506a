// What the writers of all languages share: escapes, and names made from words.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "core/hash.h"

namespace sidecall::source {

// Of ASCII.
inline bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
inline bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Whether the text has only letters, digits and `others`, is not empty and does not begin with a
// digit.
bool is_identifier(std::string_view text, std::string_view others);

// The code point of the UTF-8 character that starts at `at`, and its number of bytes in `length`.
// For characters of four bytes the code point is 0x10000.
uint32_t code_at(std::string_view text, size_t at, size_t* length);

// Escapes control characters, line separators and characters that change the direction of text, so
// that the source means what an editor displays. The escapes \n, \r, \t and \u202e mean the same in
// strings of all languages here.
std::string with_escapes(std::string_view text);

// A string literal between two `quote` characters, with these escapes.
std::string quoted(std::string_view text, char quote);

// Escapes like with_escapes() for text in a comment, which need not be UTF-8.
std::string comment_line(const std::string& text);

void replace_all(std::string* text, std::string_view from, std::string_view to);

// Joins words as in the name of a type: "fraud model-v2" becomes FraudModelV2. Letters that are not
// ASCII are left out, so the result may be empty, or begin with a digit.
std::string join_words(std::string_view words);

// Gives each of many things a name of its own, in one namespace.
class Names {
 public:
  explicit Names(std::vector<std::string> taken) : taken_(taken.begin(), taken.end()) {}
  bool is_taken(const std::string& name) const { return taken_.count(name) != 0; }
  // Takes the name, or name_2, name_3, ... if it is taken.
  std::string take(const std::string& name);

 private:
  std::unordered_set<std::string, SeededHash> taken_;
  std::unordered_map<std::string, size_t, SeededHash> last_number_;
};

}  // namespace sidecall::source
