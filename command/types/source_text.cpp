// Escapes text and joins words; see source_text.h.
#include "source_text.h"

#include <algorithm>
#include <cstdint>

#include "base/json/json_text.h"
#include "core/text.h"

namespace sidecall::source {
namespace {

// True for control characters, line separators, the byte order mark, and characters that change the
// order in which text is displayed. All of them are below U+10000.
bool needs_escape(uint32_t code) {
  return code < 0x20 || (code >= 0x7f && code <= 0x9f) || code == 0x61c ||
         (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
         (code >= 0x2060 && code <= 0x206f) || code == 0xfeff;
}

}  // namespace

uint32_t code_at(std::string_view text, size_t at, size_t* length) {
  const auto byte = [&](size_t offset) {
    return static_cast<uint32_t>(static_cast<unsigned char>(text[at + offset]));
  };
  *length = byte(0) < 0x80 ? 1 : byte(0) < 0xe0 ? 2 : byte(0) < 0xf0 ? 3 : 4;
  if (at + *length > text.size()) *length = 1;
  if (*length == 2) return (byte(0) & 0x1f) << 6 | (byte(1) & 0x3f);
  if (*length == 3) return (byte(0) & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f);
  return *length == 1 ? byte(0) : 0x10000;
}

bool is_identifier(std::string_view text, std::string_view others) {
  const auto fits = [others](char c) {
    return is_letter(c) || is_digit(c) || others.find(c) != std::string_view::npos;
  };
  return !text.empty() && !is_digit(text.front()) && std::all_of(text.begin(), text.end(), fits);
}

std::string with_escapes(std::string_view text) {
  std::string shown;
  for (size_t at = 0, length = 0; at < text.size(); at += length) {
    const uint32_t code = code_at(text, at, &length);
    if (code == '\n' || code == '\r' || code == '\t')
      shown += code == '\n' ? "\\n" : code == '\r' ? "\\r" : "\\t";
    else if (needs_escape(code)) append_unicode_escape(code, &shown);
    else shown += text.substr(at, length);
  }
  return shown;
}

std::string quoted(std::string_view text, char quote) {
  std::string inner(text);
  replace_all(&inner, "\\", "\\\\");
  replace_all(&inner, std::string(1, quote), std::string("\\") + quote);
  return quote + with_escapes(inner) + quote;
}

std::string comment_line(const std::string& text) { return with_escapes(printable(text)); }

void replace_all(std::string* text, std::string_view from, std::string_view to) {
  for (size_t at = text->find(from); at != std::string::npos; at = text->find(from, at + to.size()))
    text->replace(at, from.size(), to);
}

std::string join_words(std::string_view words) {
  std::string name;
  bool is_start = true;
  for (const char c : words) {
    if (static_cast<unsigned char>(c) >= 0x80)
      continue;  // part of a letter of another script, which does not end the word
    if (!is_letter(c) && !is_digit(c)) {
      is_start = true;
      continue;
    }
    name += is_start && c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    is_start = false;
  }
  return name;
}

std::string Names::take(const std::string& name) {
  std::string taken = name;
  size_t& number = last_number_.emplace(name, 1).first->second;
  while (!taken_.insert(taken).second) taken = name + "_" + std::to_string(++number);
  return taken;
}

}  // namespace sidecall::source
