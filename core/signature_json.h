// A signature as text: what a server shows its clients and both compare. Used by the C ABI's servers and by its route to them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "signature.h"

namespace sidecall {

// The signature part of a manifest (shm/PROTOCOL.md): a line of JSON with the tensors, and where there is a contract JSON of its features and columns. Equal
// signatures give equal texts, so that a hash of it tells whether a caller would have to be prepared anew.
std::string signature_text(const Signature& signature);

// The tensors of that line, which may be spread over several. Throws `status` with a message that begins with `where`, where that is not "".
void read_signature_text(std::string_view text, const std::string& where, int32_t status,
                         std::vector<TensorSpec>* inputs, std::vector<TensorSpec>* outputs);

}  // namespace sidecall
