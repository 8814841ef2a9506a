// Writes structs of Rust; see structs.h.
#include <algorithm>

#include "core/text.h"
#include "source_text.h"
#include "struct_parts.h"
#include "structs.h"

namespace sidecall {
namespace {

using structs::Field;
using structs::Kind;

const std::set<std::string, std::less<>> kKeywords = {
    "abstract", "as",     "async",   "await",    "become", "box",    "break", "const",  "continue",
    "crate",    "do",     "dyn",     "else",     "enum",   "extern", "false", "final",  "fn",
    "for",      "gen",    "if",      "impl",     "in",     "let",    "loop",  "macro",  "match",
    "mod",      "move",   "mut",     "override", "priv",   "pub",    "ref",   "return", "self",
    "static",   "struct", "super",   "trait",    "true",   "try",    "type",  "typeof", "unsafe",
    "unsized",  "use",    "virtual", "where",    "while",  "yield"};

// In Rust an escape has braces: \u{200b}.
std::string quoted(const std::string& key) {
  const std::string text = source::quoted(key, '"');
  std::string braced;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      braced += text[i];
    } else if (text[i + 1] == 'u') {
      braced += "\\u{" + text.substr(i + 2, 4) + "}";
      i += 5;
    } else {
      braced += text.substr(i++, 2);
    }
  }
  return braced;
}

std::string type_of(const Field& field) {
  const std::string type = field.kind == Kind::kFloat     ? "f64"
                           : field.kind == Kind::kInt     ? "i64"
                           : field.kind == Kind::kBool    ? "bool"
                           : field.kind == Kind::kInstant ? "std::time::SystemTime"
                                                          : "String";
  return field.is_nullable ? "Option<" + type + ">" : type;
}

std::string struct_of(const std::string& macro, const std::string& name, const std::string& doc,
                      const std::vector<Field>& fields) {
  std::string text = "sidecall::" + macro + "! {\n    /// " + doc +
                     "\n    #[derive(Debug, Clone, PartialEq)]\n    pub struct " + name + " {\n";
  for (const Field& field : fields) {
    if (field.kind == Kind::kNone) {
      text +=
          structs::comment("'" + printable(field.key) + "' has no type in Rust.", "        // ");
      continue;
    }
    const std::string about =
        field.about + (field.kind == Kind::kInstant
                           ? structs::truncation(field, "Duration::from_secs",
                                                 "Duration::from_millis", "Duration::from_micros")
                           : "");
    if (!about.empty()) text += structs::comment(about, "        /// ");
    text += "        pub " + field.name + ": " + type_of(field) +
            (field.name == field.key ? "" : " => " + quoted(field.key)) + ",\n";
  }
  return text + "    }\n}\n";
}

// Default of a record: every value is missing, so that a program sets only the fields that it
// knows. "" if a value that may not be missing has a type other than f64, which has NaN.
std::string default_of(const std::string& name, const std::vector<Field>& fields) {
  std::string values;
  for (const Field& field : fields) {
    if (field.kind == Kind::kNone) continue;
    if (!field.is_nullable && field.kind != Kind::kFloat) return "";
    values += "            " + field.name + (field.is_nullable ? ": None,\n" : ": f64::NAN,\n");
  }
  return "\nimpl Default for " + name +
         " {\n    /// All values are missing.\n    fn default() -> Self {\n        Self {\n" +
         values + "        }\n    }\n}\n";
}

}  // namespace

std::string rust_structs(const RecordTypes& types, const std::string& name) {
  const std::vector<Field> features =
      structs::feature_fields(types, structs::snake_case, kKeywords);
  return structs::header(types, "rust", "//! ") + "\n" +
         struct_of("record", name + "Features", "A record that the model predicts for.", features) +
         default_of(name + "Features", features) + "\n" +
         struct_of("answer", name + "Answer", "What the model predicts for a record.",
                   structs::column_fields(types, structs::snake_case, kKeywords));
}

}  // namespace sidecall
