// Writes pieces of TypeScript source; see typescript_text.h. Also has the functions of typescript.h
// that make and check the names of types.
#include "typescript_text.h"

#include <algorithm>
#include <array>
#include <set>

#include "base/json_text.h"
#include "core/error.h"
#include "core/text.h"
#include "typescript.h"

namespace sidecall {
namespace {

constexpr size_t kMaxColumns = 100;

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_identifier(std::string_view text) {
  const auto fits = [](char c) { return is_letter(c) || is_digit(c) || c == '_' || c == '$'; };
  return !text.empty() && !is_digit(text.front()) && std::all_of(text.begin(), text.end(), fits);
}

// True for keywords of the language, names of built-in types, and names that the declaration itself
// uses.
bool is_taken(const std::string& name) {
  static const std::set<std::string> taken = {
      "any",         "arguments",    "await",        "bigint",    "boolean",       "break",
      "case",        "catch",        "class",        "const",     "continue",      "debugger",
      "default",     "delete",       "do",           "else",      "enum",          "eval",
      "export",      "extends",      "false",        "finally",   "for",           "function",
      "if",          "implements",   "import",       "in",        "instanceof",    "interface",
      "let",         "never",        "new",          "null",      "number",        "object",
      "package",     "private",      "protected",    "public",    "return",        "static",
      "string",      "super",        "switch",       "symbol",    "this",          "throw",
      "true",        "try",          "typeof",       "undefined", "unknown",       "var",
      "void",        "while",        "with",         "yield",     "Tensor",        "TensorLike",
      "Float16Data", "Float32Array", "Float64Array", "Int8Array", "Int16Array",    "Int32Array",
      "Uint8Array",  "Uint16Array",  "Uint32Array",  "Record",    "BigInt64Array", "BigUint64Array",
  };
  return taken.count(name) != 0;
}

std::string indent(int depth) { return std::string(static_cast<size_t>(depth) * 2, ' '); }

// True for control characters, line separators, the byte order mark, and characters that change the
// order in which text is displayed. All of them are below U+10000.
bool needs_escape(uint32_t code) {
  return code < 0x20 || (code >= 0x7f && code <= 0x9f) || code == 0x61c ||
         (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
         (code >= 0x2060 && code <= 0x206f) || code == 0xfeff;
}

// The code point of the character that starts at `at`, and its number of bytes in `length`. For
// characters of four bytes the code point is 0x10000.
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

void replace_all(std::string* text, std::string_view from, std::string_view to) {
  for (size_t at = text->find(from); at != std::string::npos; at = text->find(from, at + to.size()))
    text->replace(at, from.size(), to);
}

}  // namespace

namespace typescript {

std::string quoted(std::string_view text) {
  std::string inner(text);
  replace_all(&inner, "\\", "\\\\");
  replace_all(&inner, "'", "\\'");
  return "'" + with_escapes(inner) + "'";
}

std::string comment_text(const std::string& text) {
  std::string shown = with_escapes(printable(text));
  replace_all(&shown, "*/", "*\\/");
  return shown;
}

std::string union_of(std::vector<std::string> types, int depth) {
  std::set<std::string> seen;
  types.erase(std::remove_if(types.begin(), types.end(),
                             [&](const std::string& type) { return !seen.insert(type).second; }),
              types.end());
  std::string line;
  for (const std::string& type : types) line += (line.empty() ? "" : " | ") + type;
  if (types.size() < 2 || line.size() <= kMaxColumns) return line;
  std::string lines;
  for (const std::string& type : types) lines += "\n" + indent(depth) + "| " + type;
  return lines;
}

std::string array_of(const std::string& type) {
  return type.find('|') == std::string::npos ? type + "[]" : "(" + type + ")[]";
}

void Members::add(const std::string& name, bool is_optional, const std::string& type,
                  const std::string& about) {
  if (!about.empty()) text_ += indent(depth_ + 1) + "/** " + comment_text(about) + " */\n";
  text_ += indent(depth_ + 1) + (is_identifier(name) ? name : quoted(name)) +
           (is_optional ? "?:" : ":") + (type.front() == '\n' ? "" : " ") + type + "\n";
}

void Members::add_readonly(const std::string& name, const std::string& type) {
  text_ += indent(depth_ + 1) + "readonly " + (is_identifier(name) ? name : quoted(name)) + ": " +
           type + "\n";
}

std::string Members::text() const {
  return text_.empty() ? "Record<string, never>" : "{\n" + text_ + indent(depth_) + "}";
}

}  // namespace typescript

std::string checked_type_name(const std::string& given) {
  if (is_identifier(given) && !is_taken(given)) return given;
  throw Error(
      SIDECALL_INVALID_ARGUMENT,
      is_identifier(given)
          ? "name: expected a name that is not reserved, got '" + given + "'"
          : "name: expected letters, digits, _ or $, not beginning with a digit, got other text");
}

std::string type_name_from(const std::string& words) {
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
  if (name.empty() || is_digit(name.front())) name = "Model" + name;
  return is_taken(name) ? name + "Model" : name;
}

}  // namespace sidecall
