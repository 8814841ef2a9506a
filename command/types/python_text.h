// Writes pieces of Python source: literals, names, docstrings. Used by python.cpp and pydantic.cpp.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "record_types.h"
#include "source_text.h"

namespace sidecall::python {

// A string literal in double quotes; see source::with_escapes().
std::string quoted(std::string_view text);

// `text` as one line of a docstring, which it cannot end.
std::string docstring_text(const std::string& text);

// Whether the text is an identifier of ASCII characters. Python changes some of the other
// identifiers (it normalizes them), so these are treated like any other text.
bool is_identifier(std::string_view text);
bool is_keyword(std::string_view text);

// "int", "float", "str" or "bool": the type of one value in a record.
std::string type_of(int32_t dtype);

// The names that a file can import, by package.
using Imports = std::map<std::string, std::vector<std::string>>;

// A file of Python source: its docstring, the names that it imports, aliases of long types, and
// classes.
class Module {
 public:
  // The names of all classes begin with `prefix`. Throws NO_CONTRACT if the model has no records.
  Module(const RecordTypes& types, std::string language, std::string prefix,
         const Imports& imports);

  // Whether the file uses the name for something else.
  bool is_taken(const std::string& name) const { return names_.is_taken(name); }
  std::string class_name(const std::string& words);

  // Makes the file import the name, and returns it.
  std::string use(const std::string& name);

  // The type of these values, which must not be kFloat: Literal[...], or bool if they are both
  // booleans. A list that is too long for a line becomes an alias named after the words.
  std::string literal(const std::vector<Value>& values, const std::string& words);

  void add_doc(const std::string& text) { docs_ += text; }
  void add_alias(const std::string& source) { aliases_ += "\n" + source; }
  void add(const std::string& source) { body_ += "\n\n" + source; }
  std::string text() const;

 private:
  const RecordTypes& types_;
  const std::string language_, prefix_;
  const Imports imports_;
  std::set<std::string> used_;
  source::Names names_;
  std::string docs_, aliases_, body_;
};

}  // namespace sidecall::python
