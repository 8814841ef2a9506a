// Estimates memory; see request_memory.h.
#include "request_memory.h"

#include <sidecall/sidecall.h>

#include <algorithm>

#include "base/dtype.h"
#include "net/common/error.h"
#include "net/common/grpc_fields.h"
#include "net/common/grpc_tensor.h"
#include "net/common/json_tensor.h"
#include "net/common/keys.h"

namespace sidecall::net {
namespace {

// Of a value while its document is read: 16 bytes on the stack of the parser, which grows by half
// and is copied then, and 16 in the document. Measured with 10 million numbers of one digit: 38.
constexpr uint64_t kBytesOfValue = 48;
// Of a string in an input of the model, whatever its length.
constexpr uint64_t kBytesOfString = 64;
// Of an element that takes one byte in a message.
constexpr uint64_t kBytesOfElement = 16;

// No more than the values and names in a text of JSON.
uint64_t count_values(std::string_view json) {
  return 1 + static_cast<uint64_t>(std::count_if(json.begin(), json.end(), [](char c) {
           return c == ',' || c == ':' || c == '[' || c == '{';
         }));
}

// How many elements a tensor has for each row.
uint64_t elements_of_row(const sidecall_net_tensor& tensor) {
  uint64_t count = 1;
  for (int32_t k = 1; k < tensor.rank; ++k)
    count *= static_cast<uint64_t>(std::max<int64_t>(tensor.dims[k], 1));
  return count;
}

// What one record takes: in the inputs of the model, what a call remembers of each feature, and its
// answer as text.
uint64_t bytes_of_record(const sidecall_net_service& service) {
  constexpr uint64_t kAnswer = 40;  // of a column
  uint64_t bytes = kAnswer;
  for (size_t i = 0; i < service.num_inputs; ++i) {
    const bool is_string = service.inputs[i].dtype == SIDECALL_DTYPE_STRING;
    const auto width = static_cast<uint64_t>(dtype_bits(service.inputs[i].dtype)) / 8;
    bytes += elements_of_row(service.inputs[i]) * (1 + (is_string ? kBytesOfString : width));
  }
  for (size_t i = 0; i < service.num_outputs; ++i)
    bytes += elements_of_row(service.outputs[i]) * kAnswer;
  return bytes;
}

bool takes_strings(const sidecall_net_service& service) {
  return std::any_of(service.inputs, service.inputs + service.num_inputs,
                     [](const auto& input) { return input.dtype == SIDECALL_DTYPE_STRING; });
}

// What tensors in binary take. Each string has a length of four bytes.
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
  // Texts are on the stack of the parser, in the document, in a tensor, and in the call.
  const uint64_t texts = takes_strings(service) ? 4 * json.size() : 0;
  return count_values(json) * kBytesOfValue + texts +
         bytes_of_binary(body.size() - json.size(), service);
}

uint64_t memory_for_records(std::string_view json, const sidecall_net_service& service) {
  const auto records = static_cast<uint64_t>(std::count(json.begin(), json.end(), '{'));
  return json.size() + records * bytes_of_record(service);
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
