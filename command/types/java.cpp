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

// Further reserved names of a record with a builder.
const std::set<std::string, std::less<>> kBuilderNames = {"build", "builder"};

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

std::string about_of(const Field& field) {
  if (field.kind != Kind::kInstant && field.kind != Kind::kWallClock) return field.about;
  return field.about + structs::truncation(field, "truncatedTo(ChronoUnit.SECONDS)",
                                           "truncatedTo(ChronoUnit.MILLIS)",
                                           "truncatedTo(ChronoUnit.MICROS)");
}

// The class that makes a record from named values. A value that is not set is missing; build()
// throws if that value may not be missing.
std::string builder_of(const std::string& name, const std::vector<Field>& fields) {
  std::string members, setters, arguments;
  for (const Field& field : fields) {
    if (field.kind == Kind::kNone) continue;
    const std::string type = type_of(field, true);
    members += "      private " + type + " " + field.name + ";\n";
    setters +=
        "\n      /**\n       * Sets " + javadoc(field.key) + ".\n       *\n       * @param value " +
        (field.is_nullable ? "the value, or null" : "the value") +
        "\n       * @return this builder\n       */\n      public Builder " + field.name + "(" +
        type + " value) {\n        " + field.name + " = value;\n        return this;\n      }\n";
    arguments +=
        (arguments.empty() ? "\n            " : ",\n            ") +
        (field.is_nullable ? field.name
                           : "require(" + field.name + ", " + source::quoted(field.key, '"') + ")");
  }
  return " {\n    /**\n     * Makes a record from named values.\n     *\n"
         "     * @return a builder without values\n     */\n"
         "    public static Builder builder() {\n      return new Builder();\n    }\n\n"
         "    /** Makes a record from named values. A value that is not set is missing. */\n"
         "    public static final class Builder {\n" +
         members + "\n      private Builder() {}\n" + setters +
         "\n      /**\n       * Makes the record.\n       *\n       * @return a record with the "
         "values that were set\n"
         "       * @throws IllegalStateException if a value was not set that may not be missing\n  "
         "     */\n"
         "      public " +
         name + " build() {\n        return new " + name + "(" + arguments +
         ");\n      }\n\n"
         "      private static <T> T require(T value, String name) {\n"
         "        if (value != null) return value;\n"
         "        throw new IllegalStateException(\"feature '\" + name + \"' has no value\");\n"
         "      }\n    }\n  }\n";
}

// `has_json_names`: Jackson uses the names of the model, and refuses JSON in which a feature is
// absent that may not be missing.
std::string record_of(const std::string& name, const std::string& doc, const std::string& what,
                      const std::vector<Field>& fields, bool has_json_names, bool has_builder) {
  size_t slots = 0;
  for (const Field& field : fields) {
    const std::string type = type_of(field, false);
    slots += type == "double" || type == "long" ? 2 : 1;
  }
  const bool is_boxed = slots > kMaxSlots;
  const bool is_input = what == "features";
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
              (about_of(field).empty() ? "" : ". " + javadoc(about_of(field))) + "\n";
    const std::string key = source::quoted(field.key, '"');
    const std::string json_name =
        "@JsonProperty(" +
        (is_input && !field.is_nullable ? "value = " + key + ", required = true" : key) + ") ";
    lines += (lines.empty() ? "\n      @Name(" : ",\n      @Name(") + key + ") " +
             (has_json_names ? json_name : "") + type_of(field, is_boxed) + " " + field.name;
  }
  return "  /**\n   * " + doc + "\n   *\n" + params + "   */\n  public record " + name + "(" +
         lines + ")" + (has_builder ? builder_of(name, fields) : " {}\n");
}

}  // namespace

std::string java_records(const RecordTypes& types, const std::string& name,
                         const std::set<std::string, std::less<>>& options) {
  const bool has_json_names = options.count("jackson") != 0;
  const bool has_builder = options.count("builder") != 0;
  std::string language = "java";
  for (const std::string& option : options) language += (language == "java" ? ":" : ",") + option;
  std::string about = structs::header(types, language, " * ");
  escape_javadoc(&about);
  std::set<std::string, std::less<>> reserved = kKeywords;
  if (has_builder) reserved.insert(kBuilderNames.begin(), kBuilderNames.end());
  const std::vector<Field> features = structs::feature_fields(types, structs::camel_case, reserved);
  const std::vector<Field> outputs = structs::output_fields(types, structs::camel_case, kKeywords);
  const auto has = [](const std::vector<Field>& fields, auto condition) {
    return std::any_of(fields.begin(), fields.end(), condition);
  };
  std::string imports =
      has_json_names ? "import com.fasterxml.jackson.annotation.JsonProperty;\n" : "";
  imports += "import dev.sidecall.Name;\n";
  if (has(features, [](const Field& field) { return field.kind == Kind::kInstant; }))
    imports += "import java.time.Instant;\n";
  if (has(features, [](const Field& field) { return field.kind == Kind::kWallClock; }))
    imports += "import java.time.LocalDateTime;\n";
  if (has(outputs, [](const Field& field) { return field.form == SIDECALL_FORM_MEMBER; }))
    imports += "import java.util.Map;\n";
  return imports + "\n/**\n" + about + " */\npublic final class " + name + " {\n  private " + name +
         "() {}\n\n" +
         record_of("Features", "A record that the model predicts for.", "features", features,
                   has_json_names, has_builder) +
         "\n" +
         record_of("Answer", "What the model predicts for a record.", "outputs", outputs,
                   has_json_names, false) +
         "}\n";
}

}  // namespace sidecall
