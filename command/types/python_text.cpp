// Writes pieces of Python source; see python_text.h.
#include "python_text.h"

#include "core/error.h"
#include "source_text.h"

namespace sidecall::python {
namespace {

// Longer lists get an alias, so that a line with a name of usual length has less than 88 columns:
// the limit of most formatters.
constexpr size_t kMaxLiteral = 44;

// Names that a file uses, apart from those of its own classes.
std::vector<std::string> taken_names(const Imports& imports) {
  std::vector<std::string> names = {"None", "bool",  "float",      "int",      "list",
                                    "str",  "Int64", "ValueError", "_strictly"};
  for (const auto& [package, imported] : imports)
    names.insert(names.end(), imported.begin(), imported.end());
  return names;
}

std::string literal_of(const Value& value) {
  if (value.kind == Value::Kind::kString) return quoted(*value.text);
  if (value.kind == Value::Kind::kBool) return value.integer != 0 ? "True" : "False";
  return std::to_string(value.integer);
}

}  // namespace

std::string quoted(std::string_view text) { return source::quoted(text, '"'); }

std::string docstring_text(const std::string& text) {
  std::string shown = source::comment_line(text);
  source::replace_all(&shown, "\\", "\\\\");
  source::replace_all(&shown, "\"", "\\\"");
  return shown;
}

bool is_identifier(std::string_view text) { return source::is_identifier(text, "_"); }

bool is_keyword(std::string_view text) {
  static const std::set<std::string, std::less<>> keywords = {
      "False", "None",     "True",  "and",    "as",   "assert", "async",  "await",    "break",
      "class", "continue", "def",   "del",    "elif", "else",   "except", "finally",  "for",
      "from",  "global",   "if",    "import", "in",   "is",     "lambda", "nonlocal", "not",
      "or",    "pass",     "raise", "return", "try",  "while",  "with",   "yield",
  };
  return keywords.count(text) != 0;
}

std::string type_of(int32_t dtype) {
  switch (dtype) {
    case SIDECALL_DTYPE_STRING:
      return "str";
    case SIDECALL_DTYPE_BOOL:
      return "bool";
    case SIDECALL_DTYPE_INT8:
    case SIDECALL_DTYPE_INT16:
    case SIDECALL_DTYPE_INT32:
    case SIDECALL_DTYPE_INT64:
    case SIDECALL_DTYPE_UINT8:
    case SIDECALL_DTYPE_UINT16:
    case SIDECALL_DTYPE_UINT32:
    case SIDECALL_DTYPE_UINT64:
      return "int";
    default:
      return "float";
  }
}

Module::Module(const RecordTypes& types, std::string language, std::string prefix,
               const Imports& imports)
    : types_(types),
      language_(std::move(language)),
      prefix_(std::move(prefix)),
      imports_(imports),
      names_(taken_names(imports)) {
  if (!types.has_contract)
    throw Error(
        SIDECALL_NO_CONTRACT,
        "records need a contract and the file carries none: export the model with sidecall.export");
}

std::string Module::class_name(const std::string& words) {
  const std::string name = source::join_words(words);
  return names_.take(prefix_ + (name.empty() ? "Value" : name));
}

std::string Module::use(const std::string& name) {
  used_.insert(name);
  return name;
}

std::string Module::literal(const std::vector<Value>& values, const std::string& words) {
  std::vector<std::string> literals;
  std::unordered_set<std::string, SeededHash> seen;
  for (const Value& value : values) {
    if (std::string literal = literal_of(value); seen.insert(literal).second)
      literals.push_back(std::move(literal));
  }
  if (values.front().kind == Value::Kind::kBool && literals.size() == 2) return "bool";
  const std::string type = use("Literal");
  std::string line;
  for (const std::string& literal : literals) line += (line.empty() ? "" : ", ") + literal;
  if (line.size() <= kMaxLiteral) return type + "[" + line + "]";
  const std::string alias = class_name(words);
  std::string source = alias + " = " + type + "[\n";
  for (const std::string& literal : literals) source += "    " + literal + ",\n";
  add_alias(source + "]\n");
  return alias;
}

std::string Module::text() const {
  std::string text = "\"\"\"";
  text += types_.name.empty() ? "A model without a name"
                              : "Model '" + docstring_text(types_.name) + "'";
  if (!types_.version.empty()) text += ", version " + docstring_text(types_.version);
  text += ".\n\nId: " + docstring_text(types_.id) + "\nWritten by `sidecall types --lang " +
          language_ + "`.\nGenerate this file again when the model changes.\n" + docs_ + "\"\"\"\n";
  // `datetime` and `typing` belong to Python, so their lines come first.
  for (const bool is_standard : {true, false}) {
    const char* before = "\n";  // one empty line before each group
    for (const auto& [package, names] : imports_) {
      std::string line;
      for (const std::string& name : names) {
        if (used_.count(name) != 0) line += (line.empty() ? "" : ", ") + name;
      }
      if (line.empty() || (package != "pydantic") != is_standard) continue;
      text.append(before).append("from ").append(package).append(" import ").append(line) += "\n";
      before = "";
    }
  }
  return text + aliases_ + body_;
}

}  // namespace sidecall::python
