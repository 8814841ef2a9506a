// Fills the tensors of an answer; used by the readers of both protocols.
#pragma once

#include <string>
#include <string_view>

#include "message.h"

namespace sidecall::net {

// These throw BrokenMessage.

// Returns the element of `answer->outputs` for the output `name`; nullptr if the client did not ask
// for this output. Throws if the answer has the output twice.
ReceivedTensor* place_output(const OutputNames& names, const std::string& name,
                             InferAnswer* answer);
// Throws if the answer has the id of another run, because then it is an answer that came too late.
void check_id(const Expected& expected, std::string_view id);
// The id of a model as a server sends it; "" if it is not a short text.
std::string model_id_of(std::string_view text);
// Requires that all outputs are there.
void require_outputs(const OutputNames& names, const InferAnswer& answer);

// A tensor of the metadata.
TensorSpec make_spec(const char* kind, const std::string& name, const std::string& datatype,
                     const Dims& dims);

}  // namespace sidecall::net
