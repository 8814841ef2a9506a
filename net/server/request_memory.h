// Estimates the memory for reading a request for a run, in addition to its body.
// base/json/json_memory.h says how.
#pragma once

#include <cstdint>
#include <string_view>

#include "message.h"
#include "net/api/serving.h"

namespace sidecall::net {

// A request for tensors: JSON, and after it tensors in binary. Both may break the protocol.
uint64_t memory_for_tensors(const Request& request, const sidecall_net_service& service);
// A request for records, and its answer.
uint64_t memory_for_records(std::string_view json, const sidecall_net_service& service);
// The message of a request over gRPC, which may break the protocol.
uint64_t memory_for_grpc(std::string_view message, const sidecall_net_service& service);

}  // namespace sidecall::net
