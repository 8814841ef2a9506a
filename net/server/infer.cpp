// Checks what HTTP and gRPC share; see infer.h.
#include "infer.h"

#include <sidecall/sidecall.h>

#include <algorithm>
#include <utility>

#include "base/text/utf8.h"
#include "net/common/error.h"
#include "net/common/tensor_data.h"

namespace sidecall::net {
namespace {

bool has_twice(std::vector<std::string> names) {
  std::sort(names.begin(), names.end());
  return std::adjacent_find(names.begin(), names.end()) != names.end();
}

}  // namespace

size_t output_index(const sidecall_net_service& service, const std::string& name) {
  for (size_t i = 0; i < service.num_outputs; ++i) {
    if (name == service.outputs[i].name) return i;
  }
  throw Error(SIDECALL_UNKNOWN_NAME,
              "output: the request names an output that the model does not have");
}

void refuse_parameter(std::string_view name, const std::string& what) {
  // Parameters of Triton.
  static constexpr std::pair<const char*, const char*> kFeatures[] = {
      {"shared_memory_region", "shared memory"},    {"shared_memory_offset", "shared memory"},
      {"shared_memory_byte_size", "shared memory"}, {"classification", "classification"},
      {"sequence_id", "sequences of requests"},     {"sequence_start", "sequences of requests"},
      {"sequence_end", "sequences of requests"}};
  for (const auto& [parameter, feature] : kFeatures) {
    if (name == parameter)
      throw Error(SIDECALL_UNSUPPORTED, what + ": this server does not have " + feature +
                                            "; leave out the parameter '" + parameter + "'");
  }
}

void require_name(const std::string& name) {
  constexpr size_t kMaxName = 1024;
  if (!name.empty() && name.size() <= kMaxName && is_utf8_without_nul(name)) return;
  const char* got = "other bytes";
  if (name.empty()) got = "none";
  if (name.size() > kMaxName) got = "a longer one";
  broken("a name of 1 to 1024 bytes of UTF-8 without NUL for each input", got);
}

void require_unique(const InferPlan& plan) {
  std::vector<std::string> inputs, outputs;
  for (const ReceivedTensor& input : plan.inputs) inputs.push_back(input.name);
  for (const InferPlan::Output& output : plan.outputs)
    outputs.push_back(std::to_string(output.index));
  if (has_twice(std::move(inputs)) || has_twice(std::move(outputs)))
    broken("each input and output once", "one of them twice");
}

uint64_t require_size(const InferPlan& plan, const sidecall_net_tensors& outputs, uint64_t most) {
  uint64_t bytes = 0;
  for (const InferPlan::Output& output : plan.outputs)
    bytes += binary_bytes(outputs.items[output.index]);
  if (bytes > most)
    throw Error(SIDECALL_OUT_OF_MEMORY, "answer: expected at most " + std::to_string(most) +
                                            " bytes, got " + std::to_string(bytes) +
                                            ": send fewer rows at once");
  return bytes;
}

}  // namespace sidecall::net
