// Writes a model's types as a TypeScript declaration, for `open<Name>()` of the Node.js package; used by the C ABI.
#pragma once

#include <string>

#include "core/contract.h"
#include "core/signature.h"

namespace sidecall {

// The name of the interface that a declaration exports. A given one must be an identifier that TypeScript leaves free:
// otherwise throws INVALID_ARGUMENT. The other makes one from any words: "fraud model-v2" becomes FraudModelV2.
std::string checked_type_name(const std::string& given);
std::string type_name_from(const std::string& words);

// The source, complete and the same each time for the same model. `contract` is nullptr for a file without one; `id` is the model's.
std::string typescript_declaration(const Signature& signature, const Contract* contract,
                                   const std::string& id, const std::string& name);

}  // namespace sidecall
