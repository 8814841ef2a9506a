// Fills the tensors of an answer; used by the readers of both protocols.
#pragma once

#include <string>
#include <string_view>

#include "message.h"

namespace sidecall::net {

// Throws PROTOCOL: "answer: expected ..., got ...".
[[noreturn]] void broken_answer(const std::string& expected, const std::string& got);

// Where the output `name` of an answer belongs in `answer->outputs`, which has one element for each
// of the names; nullptr if it is none of them. Throws PROTOCOL if it is there
// already.
AnswerTensor* place_output(const OutputNames& names, const std::string& name, InferAnswer* answer);
// Throws PROTOCOL if a server returns the id of another run: an answer that came too late.
void check_id(const Expected& expected, std::string_view id);
// The id of a model as a server sends it; "" if it is not a short text.
std::string model_id_of(std::string_view text);
// Throws PROTOCOL unless all outputs are there.
void require_outputs(const OutputNames& names, const InferAnswer& answer);

// The number of elements of a tensor. Throws PROTOCOL if no data can have so many.
int64_t count_elements(const AnswerTensor& tensor, const std::string& what);
// Sets the elements from data in binary, to which the tensor may point afterwards.
void set_binary(std::string_view data, const std::string& what, AnswerTensor* tensor);

// A tensor of the metadata. Throws PROTOCOL.
TensorSpec make_spec(const char* kind, const std::string& name, const std::string& datatype,
                     const Dims& dims);
// The number of the type. Throws PROTOCOL if it is unknown.
int32_t read_datatype(const std::string& datatype, const std::string& what);

}  // namespace sidecall::net
