// Writes the types of a model as source code of any of the languages. Used by the C ABI.
#pragma once

#include <string>

#include "core/contract/contract.h"
#include "core/contract/signature.h"

namespace sidecall {

// The complete source, always the same for the same model. `contract` is nullptr if the file has no
// contract; `id` and `title` are those of the model. `name` is what the names of the types are made
// of; nullptr derives it from the title. Throws INVALID_ARGUMENT for another language or a name
// that is not valid in it, and NO_CONTRACT without a contract, except for typescript.
std::string types_source(const std::string& language, const Signature& signature,
                         const Contract* contract, const std::string& id, const std::string& title,
                         const char* name);

}  // namespace sidecall
