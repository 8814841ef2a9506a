// Estimates memory; see request_memory.h.
#include "request_memory.h"

#include <sidecall/sidecall.h>

#include <algorithm>

#include "base/json/json_memory.h"
#include "net/common/error.h"
#include "net/common/grpc_fields.h"
#include "net/common/grpc_tensor.h"
#include "net/common/json_tensor.h"
#include "net/common/keys.h"

namespace sidecall::net {
namespace {

// The memory for an element that takes one byte in a message.
constexpr uint64_t kBytesOfElement = 16;

bool takes_strings(const sidecall_net_service& service) {
  return std::any_of(service.inputs, service.inputs + service.num_inputs,
                     [](const auto& input) { return input.dtype == SIDECALL_DTYPE_STRING; });
}

// The memory for tensors in binary. A string takes at least four bytes there, for its length.
uint64_t bytes_of_binary(uint64_t bytes, const sidecall_net_service& service) {
  return takes_strings(service) ? bytes / 4 * (kBytesOfString + 24) : 2 * bytes;
}

}  // namespace

uint64_t memory_for_tensors(const Request& request, const sidecall_net_service& service) {
  const std::string_view body = request.body;
  size_t length = body.size();
  try {
    length = json_length_of(request.header(kJsonLengthField), body.size());
  } catch (const Error&) {
    return 0;  // it is refused when it is read
  }
  const std::string_view json = body.substr(0, length);
  // Each text exists up to four times: on the stack of the parser, in the document, in a tensor,
  // and in the call.
  const uint64_t texts = takes_strings(service) ? 4 * json.size() : 0;
  return memory_for_json(json) + texts + bytes_of_binary(body.size() - json.size(), service);
}

uint64_t memory_for_records(std::string_view json, const sidecall_net_service& service) {
  RecordMemory memory;
  for (size_t i = 0; i < service.num_inputs; ++i)
    memory.add_input(service.inputs[i].dtype, service.inputs[i].dims, service.inputs[i].rank);
  for (size_t i = 0; i < service.num_outputs; ++i)
    memory.add_output(service.outputs[i].dims, service.outputs[i].rank);
  return memory.of(json);
}

uint64_t memory_for_grpc(std::string_view message, const sidecall_net_service& service) {
  uint64_t raw = 0;
  try {
    reading_protobuf([&] {
      protozero::pbf_reader reader = reader_of(message);
      while (reader.next()) {
        if (reader.tag() == grpc::kRawInputs) raw += read_bytes(&reader).size();
        else reader.skip();
      }
    });
  } catch (const Error&) {
    return 0;  // it is refused when it is read
  }
  // A string in a message takes two bytes at least.
  const uint64_t of_element = takes_strings(service) ? kBytesOfString / 2 : kBytesOfElement;
  return bytes_of_binary(raw, service) + of_element * (message.size() - raw);
}

}  // namespace sidecall::net
