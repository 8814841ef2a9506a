// Chooses the writer of a language; see languages.h.
#include "languages.h"

#include <algorithm>
#include <functional>
#include <set>
#include <string_view>

#include "core/error.h"
#include "python.h"
#include "record_types.h"
#include "structs.h"
#include "typescript.h"

namespace sidecall {
namespace {

using Options = std::set<std::string, std::less<>>;

struct Writer {
  const char* language;
  std::string (*write)(const RecordTypes& types, const std::string& name);
};

constexpr Writer kWriters[] = {
    {"python", typed_dicts},
    {"pydantic", pydantic_models},
    {"go", go_structs},
    {"rust", rust_structs},
};

// Splits "builder,jackson".
Options split(std::string_view text) {
  Options options;
  while (!text.empty()) {
    const size_t end = std::min(text.find(','), text.size());
    options.emplace(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return options;
}

// The options of "java:builder,jackson".
Options java_options(std::string_view text) {
  Options options = split(text);
  for (const std::string& option : options) {
    if (option == "jackson" || option == "builder") continue;
    throw Error(SIDECALL_INVALID_ARGUMENT,
                "language: java takes the options jackson and builder, got '" + option + "'");
  }
  return options;
}

}  // namespace

std::string types_source(const std::string& language, const Signature& signature,
                         const Contract* contract, const std::string& id, const std::string& title,
                         const char* name) {
  if (language == "typescript")
    return typescript_declaration(
        signature, contract, id, name == nullptr ? type_name_from(title) : checked_type_name(name));
  const auto prefix = [&] {
    return name == nullptr ? type_name_from(title) : checked_python_name(name);
  };
  for (const Writer& writer : kWriters) {
    if (language == writer.language)
      return writer.write(record_types(signature, contract, id), prefix());
  }
  constexpr std::string_view kJava = "java";
  const std::string_view all = language;
  if (all == kJava || all.substr(0, kJava.size() + 1) == "java:") {
    const std::string_view options = all.substr(std::min(kJava.size() + 1, all.size()));
    return java_records(record_types(signature, contract, id), prefix(), java_options(options));
  }
  throw Error(
      SIDECALL_INVALID_ARGUMENT,
      "language: expected typescript, python, pydantic, go, rust or java, got '" + language + "'");
}

}  // namespace sidecall
