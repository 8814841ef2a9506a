// Fuzzes what a server of the Open Inference Protocol sends to a client: metadata and answers, over
// HTTP and gRPC. The first byte chooses which; the rest is the body.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/dtype.h"
#include "base/text/utf8.h"
#include "net/client/address.h"
#include "net/client/messages/answer_limits.h"
#include "net/client/messages/grpc_message.h"
#include "net/client/messages/http_message.h"
#include "net/common/error.h"
#include "tests/fuzz/check.h"

namespace {

namespace net = sidecall::net;

void check_answer(const net::InferAnswer& answer, const net::OutputNames& names) {
  fuzz::require(answer.outputs.size() == names.size(), "an output for each name");
  for (size_t i = 0; i < names.size(); ++i) {
    const net::ReceivedTensor& tensor = answer.outputs[i];
    fuzz::require(tensor.name == names[i] && sidecall::is_dtype(tensor.dtype), "the right output");
    uint64_t count = 1;
    for (const int64_t size : tensor.dims) {
      fuzz::require(size >= 0, "sizes");
      count *= static_cast<uint64_t>(size);
      fuzz::require(count < UINT64_C(1) << 57, "a size that does not overflow");
    }
    if (tensor.dtype != SIDECALL_DTYPE_STRING) {
      const auto bits = static_cast<uint64_t>(sidecall::dtype_bits(tensor.dtype));
      fuzz::require(tensor.bytes == count * bits / 8, "as many bytes as the shape says");
    } else {
      fuzz::require(tensor.offsets.size() == count + 1, "an offset per string");
      fuzz::require(tensor.offsets.front() == 0 &&
                        tensor.offsets.back() == static_cast<int64_t>(tensor.bytes),
                    "offsets from end to end");
      for (size_t k = 1; k < tensor.offsets.size(); ++k)
        fuzz::require(tensor.offsets[k - 1] <= tensor.offsets[k], "offsets that never fall");
    }
    const auto* const bytes = static_cast<const char*>(tensor.data);
    volatile char sum = 0;
    for (uint64_t k = 0; k < tensor.bytes; ++k) sum = static_cast<char>(sum + bytes[k]);
  }
}

void check_metadata(const net::Metadata& metadata) {
  for (const auto* specs : {&metadata.inputs, &metadata.outputs}) {
    for (const sidecall::TensorSpec& spec : *specs) {
      fuzz::require(!spec.name.empty() && sidecall::is_utf8(spec.name), "a name");
      fuzz::require(sidecall::is_dtype(spec.dtype), "a type");
      for (const int64_t size : spec.dims) fuzz::require(size >= -1, "sizes");
    }
  }
}

net::AnswerBuffer buffer_of(const std::string& body) {
  net::AnswerBuffer buffer(std::make_shared<net::AnswerShare>(), net::kMetadataBytes);
  fuzz::require(buffer.add(body.data(), body.size()) == net::AnswerBuffer::Added::kDone, "room");
  return buffer;
}

void read(uint8_t kind, const std::string& body) {
  static const net::Expected kExpected = {{"y", "label"}, "1"};
  net::Reply reply;
  reply.body = buffer_of(body);
  switch (kind % 7) {
    case 0:
      return check_answer(net::read_http_answer(kExpected, reply, true), kExpected.outputs);
    case 1: {  // with the header, whose value is the text before the first line feed
      const size_t end = body.find('\n');
      if (end == std::string::npos) return;
      reply.headers.emplace_back("inference-header-content-length", body.substr(0, end));
      reply.body = buffer_of(body.substr(end + 1));
      return check_answer(net::read_http_answer(kExpected, reply, true), kExpected.outputs);
    }
    case 2:
      return check_answer(net::read_grpc_answer(kExpected, net::unframe_answer(body)),
                          kExpected.outputs);
    case 3:
      return check_metadata(net::read_http_metadata(body));
    case 4:
      return check_metadata(net::read_grpc_metadata(body));
    case 5:
      net::read_form(body);
      fuzz::require(net::read_error_text(body).size() <= 500, "a short text");
      net::read_ready(body);
      return;
    default: {
      const net::Address address = net::read_address(body);
      fuzz::require(!address.model.empty() && sidecall::is_utf8(address.model), "a model");
      fuzz::require(address.socket.empty() != address.hosts.empty(), "hosts or a socket");
      fuzz::require(address.hosts.size() <= net::kMaxHosts, "not too many hosts");
      for (const net::Host& host : address.hosts)
        fuzz::require(!host.name.empty() && host.port > 0, "a host with a port");
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  try {
    read(data[0], std::string(reinterpret_cast<const char*>(data) + 1, size - 1));
  } catch (const net::Error& error) {
    fuzz::require(
        error.status() == SIDECALL_PROTOCOL || error.status() == SIDECALL_INVALID_ARGUMENT,
        "a status of the protocol");
  }
  return 0;
}
