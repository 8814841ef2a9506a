// What a run sends and what it gets, in a form that both protocols share.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/tensor_spec.h"
#include "net/api/net.h"

namespace sidecall::net {

using OutputNames = std::vector<std::string>;  // that an answer must have

// What tells the answer of a run from others.
struct Expected {
  OutputNames outputs;
  std::string id;  // a server that returns an id must return this one
};

struct InferRequest {
  const sidecall_net_tensor* inputs;
  size_t num_inputs;
  const Expected& expected;
};

// The number of elements of an input.
int64_t count_elements(const sidecall_net_tensor& input);
// The protocol's name of the type of an input. Throws UNSUPPORTED if it has none.
const char* datatype_of(const sidecall_net_tensor& input);

struct AnswerTensor {
  std::string name;
  int32_t dtype = 0;
  Dims dims;
  const void* data = nullptr;  // within the body of the answer, or `own`
  uint64_t bytes = 0;
  std::vector<char> own;
  std::vector<int64_t> offsets;  // of strings: one more than there are elements
};

struct InferAnswer {
  std::vector<AnswerTensor> outputs;
  std::string model_id;  // "" if the server did not tell
};

struct Metadata {
  std::vector<TensorSpec> inputs, outputs;
  std::string contract;  // "" if there is none
  std::string model_id;
};

}  // namespace sidecall::net
