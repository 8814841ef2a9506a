// Writes a model's types as a TypeScript declaration, for `open<Name>()` of the Node.js package.
// Used by languages.cpp.
#pragma once

#include <string>

#include "core/contract/contract.h"
#include "core/contract/signature.h"

namespace sidecall {

// Both return the name of the interface that a declaration exports. checked_type_name() returns the
// given name, or throws INVALID_ARGUMENT if the name is not an identifier or is reserved.
// type_name_from() makes a name from any words: "fraud model-v2" becomes FraudModelV2. The names of
// Python's classes begin with it too.
std::string checked_type_name(const std::string& given);
std::string type_name_from(const std::string& words);

// The complete source, always the same for the same model. `contract` is nullptr if the file has no
// contract; `id` is the id of the model.
std::string typescript_declaration(const Signature& signature, const Contract* contract,
                                   const std::string& id, const std::string& name);

}  // namespace sidecall
