// Chooses the writer of a language; see languages.h.
#include "languages.h"

#include "core/error.h"
#include "python.h"
#include "record_types.h"
#include "typescript.h"

namespace sidecall {

std::string types_source(const std::string& language, const Signature& signature,
                         const Contract* contract, const std::string& id, const std::string& title,
                         const char* name) {
  if (language == "typescript")
    return typescript_declaration(
        signature, contract, id, name == nullptr ? type_name_from(title) : checked_type_name(name));
  if (language != "python" && language != "pydantic")
    throw Error(SIDECALL_INVALID_ARGUMENT,
                "language: expected typescript, python or pydantic, got '" + language + "'");
  const std::string prefix = name == nullptr ? type_name_from(title) : checked_python_name(name);
  const RecordTypes types = record_types(signature, contract, id);
  return language == "python" ? typed_dicts(types, prefix) : pydantic_models(types, prefix);
}

}  // namespace sidecall
