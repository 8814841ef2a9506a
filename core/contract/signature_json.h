// A signature as text, which a server sends to its clients. Used by servers (serving/server.cpp)
// and by the engine for another process (engines/shm/engine.cpp).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "signature.h"

namespace sidecall {

// The signature part of a manifest (shm/PROTOCOL.md): a line of JSON with the tensors, and, if
// there is a contract, JSON with its features and columns. Equal signatures give equal texts, so a
// hash of the text shows whether a client would have to prepare its calls again.
std::string signature_text(const Signature& signature);

// Reads the tensors from JSON of the same form as the first line of signature_text(); this JSON may
// be spread over several lines. Throws `status` with a message that begins with `where`, unless
// `where` is "".
void read_signature_text(std::string_view text, const std::string& where, int32_t status,
                         std::vector<TensorSpec>* inputs, std::vector<TensorSpec>* outputs);

}  // namespace sidecall
