// Writes records of Java; see structs.h.
#include <algorithm>

#include "core/error.h"
#include "core/text.h"
#include "source_text.h"
#include "struct_parts.h"
#include "structs.h"

namespace sidecall {
namespace {

using structs::Field;
using structs::Kind;

// Keywords, and names that no component of a record can have.
const std::set<std::string, std::less<>> kKeywords = {
    "abstract",     "assert", "boolean",    "break",    "byte",      "case",      "catch",
    "char",         "class",  "clone",      "const",    "continue",  "default",   "do",
    "double",       "else",   "enum",       "extends",  "false",     "final",     "finalize",
    "finally",      "float",  "for",        "getClass", "goto",      "hashCode",  "if",
    "implements",   "import", "instanceof", "int",      "interface", "long",      "native",
    "new",          "notify", "notifyAll",  "null",     "package",   "private",   "protected",
    "public",       "return", "short",      "static",   "strictfp",  "super",     "switch",
    "synchronized", "this",   "throw",      "throws",   "toString",  "transient", "true",
    "try",          "void",   "volatile",   "wait",     "while"};

// The parameters of a constructor take at most 255 slots, one of them for the object.
constexpr size_t kMaxSlots = 254;

std::string type_of(const Field& field, bool is_boxed) {
  std::string type = field.kind == Kind::kFloat     ? "double"
                     : field.kind == Kind::kInt     ? "long"
                     : field.kind == Kind::kBool    ? "boolean"
                     : field.kind == Kind::kText    ? "String"
                     : field.kind == Kind::kInstant ? "Instant"
                                                    : "LocalDateTime";
  const std::string boxed = type == "double"    ? "Double"
                            : type == "long"    ? "Long"
                            : type == "boolean" ? "Boolean"
                                                : type;
  if (field.form == SIDECALL_FORM_MEMBER) return "Map<String, " + boxed + ">";
  if (field.form == SIDECALL_FORM_ELEMENT) return type + "[]";
  return is_boxed || field.is_nullable ? boxed : type;
}

// A comment cannot hold the end of a comment, an escape in it is translated, and javadoc reads it
// as HTML with tags of its own.
void escape_javadoc(std::string* text) {
  source::replace_all(text, "&", "&amp;");
  source::replace_all(text, "<", "&lt;");
  source::replace_all(text, "@", "&#64;");
  source::replace_all(text, "\\", "&#92;");
  source::replace_all(text, "*/", "*&#47;");
}

std::string javadoc(const std::string& text) {
  std::string shown = source::comment_line(text);
  escape_javadoc(&shown);
  return shown;
}

std::string record_of(const std::string& name, const std::string& doc, const std::string& what,
                      const std::vector<Field>& fields) {
  size_t slots = 0;
  for (const Field& field : fields) {
    const std::string type = type_of(field, false);
    slots += type == "double" || type == "long" ? 2 : 1;
  }
  const bool is_boxed = slots > kMaxSlots;
  const auto is_component = [](const Field& field) { return field.kind != Kind::kNone; };
  const auto components =
      static_cast<size_t>(std::count_if(fields.begin(), fields.end(), is_component));
  if (components > kMaxSlots)
    throw Error(SIDECALL_UNSUPPORTED, "language java: expected a model with at most " +
                                          std::to_string(kMaxSlots) + " " + what + ", got " +
                                          std::to_string(components));
  std::string params, lines;
  for (const Field& field : fields) {
    if (!is_component(field)) continue;
    params += "   * @param " + field.name + " " + javadoc(field.key) +
              (field.about.empty() ? "" : ". " + javadoc(field.about)) + "\n";
    lines += (lines.empty() ? "\n      @Name(" : ",\n      @Name(") +
             source::quoted(field.key, '"') + ") " + type_of(field, is_boxed) + " " + field.name;
  }
  return "  /**\n   * " + doc + "\n   *\n" + params + "   */\n  public record " + name + "(" +
         lines + ") {}\n";
}

}  // namespace

std::string java_records(const RecordTypes& types, const std::string& name) {
  std::string about = structs::header(types, "java", " * ");
  escape_javadoc(&about);
  const std::vector<Field> features =
      structs::feature_fields(types, structs::camel_case, kKeywords);
  const std::vector<Field> outputs = structs::output_fields(types, structs::camel_case, kKeywords);
  const auto has = [](const std::vector<Field>& fields, auto condition) {
    return std::any_of(fields.begin(), fields.end(), condition);
  };
  std::string imports = "import dev.sidecall.Name;\n";
  if (has(features, [](const Field& field) { return field.kind == Kind::kInstant; }))
    imports += "import java.time.Instant;\n";
  if (has(features, [](const Field& field) { return field.kind == Kind::kWallClock; }))
    imports += "import java.time.LocalDateTime;\n";
  if (has(outputs, [](const Field& field) { return field.form == SIDECALL_FORM_MEMBER; }))
    imports += "import java.util.Map;\n";
  return imports + "\n/**\n" + about + " */\npublic final class " + name + " {\n  private " + name +
         "() {}\n\n" +
         record_of("Features", "A record that the model predicts for.", "features", features) +
         "\n" + record_of("Answer", "What the model predicts for a record.", "outputs", outputs) +
         "}\n";
}

}  // namespace sidecall
