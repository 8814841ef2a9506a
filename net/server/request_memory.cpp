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

// What one record takes in the inputs of the model, with what a call remembers of each feature.
uint64_t bytes_of_record(const sidecall_net_service& service) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < service.num_inputs; ++i) {
    const sidecall_net_tensor& input = service.inputs[i];
    uint64_t features = 1;
    for (int32_t k = 1; k < input.rank; ++k)
      features *= static_cast<uint64_t>(std::max<int64_t>(input.dims[k], 1));
    const bool is_string = input.dtype == SIDECALL_DTYPE_STRING;
    bytes += features * (1 + (is_string ? kBytesOfString
                                        : static_cast<uint64_t>(dtype_bits(input.dtype)) / 8));
  }
  return bytes;
}

}  // namespace

uint64_t memory_for_tensors(const Request& request) {
  const std::string_view body = request.body;
  size_t length = body.size();
  try {
    length = json_length_of(request.header(kJsonLengthField), body.size());
  } catch (const Error&) {
    return 0;  // it is refused when it is read
  }
  const std::string_view json = body.substr(0, length);
  return count_values(json) * kBytesOfValue + 2 * (body.size() - json.size());
}

uint64_t memory_for_records(std::string_view json, const sidecall_net_service& service) {
  const auto records = static_cast<uint64_t>(std::count(json.begin(), json.end(), '{'));
  return json.size() + records * bytes_of_record(service);
}

uint64_t memory_for_grpc(std::string_view message) {
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
  return 2 * raw + kBytesOfElement * (message.size() - raw);
}

}  // namespace sidecall::net
