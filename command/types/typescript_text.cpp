// Writes pieces of TypeScript source; see typescript_text.h. Also has the functions of typescript.h
// that make and check the names of types.
#include "typescript_text.h"

#include <algorithm>
#include <set>

#include "core/error.h"
#include "core/text.h"
#include "source_text.h"
#include "typescript.h"

namespace sidecall {
namespace {

constexpr size_t kMaxColumns = 100;

bool is_identifier(std::string_view text) { return source::is_identifier(text, "_$"); }

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

}  // namespace

namespace typescript {

std::string quoted(std::string_view text) { return source::quoted(text, '\''); }

std::string comment_text(const std::string& text) {
  std::string shown = source::comment_line(text);
  source::replace_all(&shown, "*/", "*\\/");
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
  throw Error(SIDECALL_INVALID_ARGUMENT,
              is_identifier(given)
                  ? "name: expected a name that is not reserved, got '" + given + "'"
                  : "name: expected letters, digits, _ or $, not beginning with a digit, got '" +
                        printable(given) + "'");
}

std::string type_name_from(const std::string& words) {
  std::string name = source::join_words(words);
  if (name.empty() || source::is_digit(name.front())) name = "Model" + name;
  return is_taken(name) ? name + "Model" : name;
}

}  // namespace sidecall
