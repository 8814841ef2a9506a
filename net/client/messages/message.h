// What a run sends and what it gets, in a form that both protocols share.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/tensor_spec.h"
#include "net/api/net.h"
#include "net/common/received.h"

namespace sidecall::net {

using OutputNames = std::vector<std::string>;  // of the outputs that an answer must have

// The properties by which a client recognises the answer of its run.
struct Expected {
  OutputNames outputs;
  std::string id;  // a server that returns an id must return this one
};

struct InferRequest {
  const sidecall_net_tensor* inputs;
  size_t num_inputs;
  uint64_t max_answer_bytes;
  const Expected& expected;
};

struct InferAnswer {
  std::vector<ReceivedTensor> outputs;
  std::string model_id;  // "" if the server sent none
};

// How tensors travel over HTTP.
struct TensorForm {
  bool is_binary = false;  // otherwise as JSON
  bool has_nulls = false;  // in JSON, null stands for NaN
};

struct Metadata {
  std::vector<TensorSpec> inputs, outputs;
  std::string contract;  // "" if there is none
  std::string model_id;
  // "yes" or "no": whether a run may be executed twice. "" if the server sent neither.
  std::string repeatable;
  TensorForm form;
};

}  // namespace sidecall::net
