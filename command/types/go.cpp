// Writes structs of Go; see structs.h.
#include <algorithm>
#include <iterator>
#include <utility>

#include "core/text.h"
#include "source_text.h"
#include "struct_parts.h"
#include "structs.h"

namespace sidecall {
namespace {

using structs::Field;
using structs::Kind;

const std::set<std::string, std::less<>> kKeywords = {
    "break",  "case",        "chan", "const",   "continue", "default", "defer",
    "else",   "fallthrough", "for",  "func",    "go",       "goto",    "if",
    "import", "interface",   "map",  "package", "range",    "return",  "select",
    "struct", "switch",      "type", "var"};

std::string package_name(const std::string& name) {
  std::string package;
  for (const char c : name) {
    if (source::is_letter(c) || source::is_digit(c))
      package += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  if (package.empty() || source::is_digit(package.front())) package.insert(0, "model");
  return kKeywords.count(package) != 0 ? package + "model" : package;
}

// Whether encoding/json surely accepts the name in a tag. It accepts letters, digits and some ASCII
// characters, and ignores a tag with another name. These ranges have only letters.
bool is_json_name(const std::string& key) {
  constexpr std::string_view kPunctuation = "!#$%&()*+-./:;<=>?@[]^_{|}~ ";
  constexpr std::pair<uint32_t, uint32_t> kLetters[] = {
      {0xc0, 0xd6},     {0xd8, 0xf6},     {0xf8, 0x2c1},                       // Latin
      {0x388, 0x481},   {0x48a, 0x52f},                                        // Greek and Cyrillic
      {0x3041, 0x3096}, {0x30a1, 0x30fa}, {0x4e00, 0x9fff}, {0xac00, 0xd7a3},  // CJK
  };
  for (size_t at = 0, length = 0; at < key.size(); at += length) {
    const uint32_t code = source::code_at(key, at, &length);
    const auto holds = [code](const auto& range) {
      return range.first <= code && code <= range.second;
    };
    const bool is_accepted = length == 1
                                 ? source::is_letter(key[at]) || source::is_digit(key[at]) ||
                                       kPunctuation.find(key[at]) != std::string_view::npos
                                 : std::any_of(std::begin(kLetters), std::end(kLetters), holds);
    if (!is_accepted) return false;
  }
  return true;
}

// The tag is a string of Go that holds other strings of Go. In JSON the field has the name of the
// feature, as in a record of any language. If encoding/json does not accept this name, the field
// is left out, because it would otherwise be read from the name of the field.
std::string tag_of(const std::string& key) {
  const std::string quoted = source::quoted(key, '"');
  const std::string inner =
      "sidecall:" + quoted + " json:" + (is_json_name(key) ? quoted : "\"-\"");
  return inner.find('`') == std::string::npos ? "`" + inner + "`" : source::quoted(inner, '"');
}

std::string type_of(const Field& field) {
  const char* type = field.kind == Kind::kFloat     ? "float64"
                     : field.kind == Kind::kInt     ? "int64"
                     : field.kind == Kind::kBool    ? "bool"
                     : field.kind == Kind::kText    ? "string"
                     : field.kind == Kind::kInstant ? "time.Time"
                                                    : "sidecall.WallClock";
  return (field.is_nullable                     ? "*"
          : field.form == SIDECALL_FORM_MEMBER  ? "map[string]"
          : field.form == SIDECALL_FORM_ELEMENT ? "[]"
                                                : "") +
         std::string(type);
}

std::string about_of(const Field& field) {
  std::string text = field.about;
  if (field.kind == Kind::kInstant || field.kind == Kind::kWallClock)
    text += structs::truncation(field, "Truncate(time.Second)", "Truncate(time.Millisecond)",
                                "Truncate(time.Microsecond)");
  if (!is_json_name(field.key))
    text += (text.empty() ? "" : " ") +
            std::string("Not read from JSON, because encoding/json does not accept the name.");
  return text;
}

// Fields in the layout of gofmt, which aligns those that follow each other without a comment.
std::string struct_of(const std::string& name, const std::string& doc,
                      const std::vector<Field>& fields) {
  std::string text = "// " + name + " " + doc + "\ntype " + name + " struct {\n";
  size_t name_width = 0, type_width = 0;
  for (size_t i = 0; i < fields.size(); ++i) {
    const Field& field = fields[i];
    // Go leaves out a field with the tag "-".
    if (field.kind == Kind::kNone || field.key == "-") {
      text += structs::comment("'" + printable(field.key) + "' has no type in Go.", "\t// ");
      name_width = type_width = 0;
      continue;
    }
    const std::string about = about_of(field);
    if (!about.empty()) text += structs::comment(about, "\t// ");
    if (!about.empty() || name_width == 0) {
      name_width = type_width = 0;
      for (size_t j = i; j < fields.size(); ++j) {
        const Field& next = fields[j];
        if (next.kind == Kind::kNone || next.key == "-" || (j > i && !about_of(next).empty()))
          break;
        name_width = std::max(name_width, next.name.size());
        type_width = std::max(type_width, type_of(next).size());
      }
    }
    const std::string type = type_of(field);
    text += "\t" + field.name + std::string(name_width - field.name.size() + 1, ' ') + type +
            std::string(type_width - type.size() + 1, ' ') + tag_of(field.key) + "\n";
  }
  return text + "}\n";
}

}  // namespace

std::string go_structs(const RecordTypes& types, const std::string& name) {
  const std::string about = structs::header(types, "go", "// ");
  const std::vector<Field> features = structs::feature_fields(types, structs::pascal_case, {});
  const auto has = [&features](Kind kind) {
    return std::any_of(features.begin(), features.end(),
                       [kind](const Field& field) { return field.kind == kind; });
  };
  std::string imports;
  if (has(Kind::kInstant)) imports += "\t\"time\"\n";
  if (has(Kind::kWallClock)) {
    imports += imports.empty() ? "" : "\n";
    imports += "\t\"sidecall.dev/sidecall\"\n";
  }
  const std::string package = package_name(name);
  return "// Code generated by sidecall types. DO NOT EDIT.\n\n// Package " + package +
         " has the types of a model's records.\n//\n" + about + "package " + package + "\n\n" +
         (imports.empty() ? "" : "import (\n" + imports + ")\n\n") +
         struct_of("Features", "is a record that the model predicts for.", features) + "\n" +
         struct_of("Answer", "is what the model predicts for a record.",
                   structs::output_fields(types, structs::pascal_case, {}));
}

}  // namespace sidecall
