// Writes the types of a model's records as Python source: TypedDicts, or models of pydantic. Used
// by languages.cpp.
#pragma once

#include <string>

#include "record_types.h"

namespace sidecall {

// Returns the given name, or throws INVALID_ARGUMENT if the names of classes cannot begin with it.
std::string checked_python_name(const std::string& given);

// The complete source, always the same for the same model. The names of all classes begin with
// `name`. Both throw NO_CONTRACT if the file has no contract.
std::string typed_dicts(const RecordTypes& types, const std::string& name);
std::string pydantic_models(const RecordTypes& types, const std::string& name);

}  // namespace sidecall
