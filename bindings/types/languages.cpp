// Chooses the writer of a language; see languages.h.
#include "languages.h"

#include "core/error.h"
#include "python.h"
#include "record_types.h"
#include "structs.h"
#include "typescript.h"

namespace sidecall {
namespace {

struct Writer {
  const char* language;
  std::string (*write)(const RecordTypes& types, const std::string& name);
};

constexpr Writer kWriters[] = {
    {"python", typed_dicts}, {"pydantic", pydantic_models}, {"go", go_structs},
    {"rust", rust_structs},  {"java", java_records},
};

}  // namespace

std::string types_source(const std::string& language, const Signature& signature,
                         const Contract* contract, const std::string& id, const std::string& title,
                         const char* name) {
  if (language == "typescript")
    return typescript_declaration(
        signature, contract, id, name == nullptr ? type_name_from(title) : checked_type_name(name));
  for (const Writer& writer : kWriters) {
    if (language != writer.language) continue;
    const std::string prefix = name == nullptr ? type_name_from(title) : checked_python_name(name);
    return writer.write(record_types(signature, contract, id), prefix);
  }
  throw Error(
      SIDECALL_INVALID_ARGUMENT,
      "language: expected typescript, python, pydantic, go, rust or java, got '" + language + "'");
}

}  // namespace sidecall
