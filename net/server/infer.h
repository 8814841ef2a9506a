// The contents of a request for a run, and of its answer, in a form that HTTP and gRPC share.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "message.h"
#include "net/api/serving.h"
#include "net/common/received.h"
#include "served_model.h"

namespace sidecall::net {

struct InferPlan {
  std::string model, version, id;
  bool is_other_model = false;         // the request names one that this server does not have
  std::vector<ReceivedTensor> inputs;  // may point into the body of the request
  struct Output {
    size_t index = 0;  // in the service
    bool is_binary = false;
  };
  std::vector<Output> outputs;  // in the order of the answer
};

// The names that every answer has.
struct ModelNames {
  std::string name, version, id;
};

// These throw PROTOCOL for a message that breaks the protocol, UNKNOWN_NAME for an output that the
// model does not have, and UNSUPPORTED.
// Those over HTTP also throw the errors of a missing element that must not be missing.
InferPlan read_http_infer(const Request& request, const ServedModel& model);
InferPlan read_grpc_infer(std::string_view message, const sidecall_net_service& service);

// Throw UNSUPPORTED for numbers that JSON cannot hold, and for answers of more than `most` bytes.
Response write_http_answer(const InferPlan& plan, const sidecall_net_tensors& outputs,
                           const ModelNames& names, uint64_t most);
std::string write_grpc_answer(const InferPlan& plan, const sidecall_net_tensors& outputs,
                              const ModelNames& names, uint64_t most);

// Throws UNSUPPORTED if a parameter asks for a feature that this server does not have. `what` names
// the part of the request that has the parameter: "request", "input 'x'".
void refuse_parameter(std::string_view name, const std::string& what);
// The index of the output with this name. Throws UNKNOWN_NAME.
size_t output_index(const sidecall_net_service& service, const std::string& name);
// Throws PROTOCOL unless this can be the name of an input.
void require_name(const std::string& name);
// Throws PROTOCOL if the request names an input or output twice.
void require_unique(const InferPlan& plan);
// The bytes of the outputs of the plan. Throws OUT_OF_MEMORY if they are more than `most`.
uint64_t require_size(const InferPlan& plan, const sidecall_net_tensors& outputs, uint64_t most);

}  // namespace sidecall::net
