// Fills the tensors of an answer; used by the readers of both protocols.
#pragma once

#include <string>
#include <string_view>

#include "message.h"

namespace sidecall::net {

// These throw BrokenMessage.

// Where the output `name` of an answer belongs in `answer->outputs`, which has one element for each
// of the names; nullptr if it is none of them. An output that
// is there already is an error.
ReceivedTensor* place_output(const OutputNames& names, const std::string& name,
                             InferAnswer* answer);
// Refuses that a server returns the id of another run: an answer that came too late.
void check_id(const Expected& expected, std::string_view id);
// The id of a model as a server sends it; "" if it is not a short text.
std::string model_id_of(std::string_view text);
// Requires that all outputs are there.
void require_outputs(const OutputNames& names, const InferAnswer& answer);

// A tensor of the metadata.
TensorSpec make_spec(const char* kind, const std::string& name, const std::string& datatype,
                     const Dims& dims);

}  // namespace sidecall::net
