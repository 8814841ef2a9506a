// Writes and reads the messages of inference.GRPCInferenceService.
#pragma once

#include <string>
#include <string_view>

#include "message.h"

namespace sidecall::net {

// A request that only names a model.
std::string write_model_request(const std::string& model, const std::string& version);
std::string write_grpc_request(const InferRequest& request, const std::string& model,
                               const std::string& version);

// The functions below throw PROTOCOL. unframe_answer() returns the only message of a body. Data of
// the answer may point into `message`.
std::string_view unframe_answer(std::string_view body);
bool read_ready(std::string_view message);
Metadata read_grpc_metadata(std::string_view message);
InferAnswer read_grpc_answer(const Expected& expected, std::string_view message);

}  // namespace sidecall::net
