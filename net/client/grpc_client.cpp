// The Open Inference Protocol over gRPC; see client.h.
#include <sidecall/sidecall.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/text/base64.h"
#include "base/text/percent.h"
#include "client.h"
#include "net/client/messages/answer_limits.h"
#include "net/client/messages/grpc_message.h"
#include "net/common/error.h"
#include "net/common/grpc_tensor.h"
#include "net/common/keys.h"
#include "net/common/status.h"

namespace sidecall::net {
namespace {

constexpr const char* kService = "/inference.GRPCInferenceService/";

int32_t status_of(int code) {
  switch (code) {
    case kGrpcDeadlineExceeded:
      return SIDECALL_TIMEOUT;
    case kGrpcPermissionDenied:
    case kGrpcUnauthenticated:
      return SIDECALL_DENIED;
    case kGrpcResourceExhausted:
      return SIDECALL_BUSY;
    case kGrpcNotFound:
    case kGrpcUnavailable:
      return SIDECALL_UNREACHABLE;
    case kGrpcUnimplemented:
      return SIDECALL_PROTOCOL;
    default:
      return SIDECALL_ENGINE;
  }
}

int32_t status_of_gateway(int http_status) {
  switch (http_status) {
    case 401:
    case 403:
      return SIDECALL_DENIED;
    case 429:
      return SIDECALL_BUSY;
    case 502:
    case 503:
      return SIDECALL_UNREACHABLE;
    case 504:
      return SIDECALL_TIMEOUT;
    default:
      return SIDECALL_PROTOCOL;
  }
}

class GrpcClient final : public Client {
 public:
  explicit GrpcClient(std::shared_ptr<const Address> address) : Client(std::move(address)) {}

  std::shared_ptr<Exchange> make_run(const InferRequest& request,
                                     Clock::time_point deadline) const override {
    std::shared_ptr<Exchange> exchange =
        make_call("ModelInfer", write_grpc_request(request, address_->model, address_->version),
                  deadline, request.max_answer_bytes);
    exchange->replicas = replicas_;
    return exchange;
  }

  InferAnswer read_run(const Expected& expected, const Reply& reply) const override {
    return read_grpc_answer(expected, message_of(reply));
  }

 private:
  std::shared_ptr<Exchange> make_live(Clock::time_point deadline) const override {
    return make_call("ServerLive", "", deadline, kSmallAnswerBytes);
  }

  void require_live(const Reply& reply) const override {
    if (!read_ready(message_of(reply))) fail(SIDECALL_UNREACHABLE, "the server is not live", "");
  }

  std::shared_ptr<Exchange> make_ready(Clock::time_point deadline) const override {
    return make_call("ModelReady", write_model_request(address_->model, address_->version),
                     deadline, kSmallAnswerBytes);
  }

  void require_ready(const Reply& ready) const override {
    const int code = code_of(ready);
    // As over HTTP, an error means that there is no model to call yet.
    if (code != kGrpcOk && status_of(code) != SIDECALL_DENIED &&
        status_of(code) != SIDECALL_PROTOCOL)
      fail(SIDECALL_UNREACHABLE, "the model is not ready",
           percent_decode(ready.header("grpc-message")));
    if (!read_ready(message_of(ready))) fail(SIDECALL_UNREACHABLE, "the model is not ready", "");
  }

  Metadata read_metadata(const ReplicaPtr& replica, Clock::time_point deadline) const override {
    const std::shared_ptr<Exchange> exchange =
        make_call("ModelMetadata", write_model_request(address_->model, address_->version),
                  deadline, kMetadataBytes);
    exchange->only = replica;
    const Reply metadata = finish(exchange);
    return read_grpc_metadata(message_of(metadata));
  }

  std::shared_ptr<Exchange> make_call(const char* method, const std::string& message,
                                      Clock::time_point deadline, uint64_t max_answer_bytes) const {
    std::shared_ptr<Exchange> exchange =
        make_exchange(std::string(kService) + method, deadline, max_answer_bytes);
    exchange->is_post = true;
    exchange->body = frame(message);
    exchange->headers.emplace_back("Content-Type: application/grpc");
    exchange->headers.emplace_back("TE: trailers");
    exchange->timeout_header = "grpc-timeout";
    exchange->timeout_unit = "m";
    return exchange;
  }

  // The status of gRPC that an answer has.
  int code_of(const Reply& reply) const {
    require_answer(reply);
    // A gateway before the server may answer without gRPC.
    if (reply.status != 200) {
      const std::string what = "expected an answer of gRPC, got status ";
      fail(status_of_gateway(reply.status), what + std::to_string(reply.status), "");
    }
    const std::string& text = reply.header("grpc-status");
    int code = -1;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), code);
    if (read.ec != std::errc() || read.ptr != text.data() + text.size() || code < 0)
      fail(SIDECALL_PROTOCOL, "expected a status of gRPC, got none", "");
    return code;
  }

  // Throws the error of a server of sidecall, which says more than gRPC can.
  static void throw_own_error(const Reply& reply) {
    const int32_t status = status_of_name(reply.header(kStatusTrailer));
    const std::string message = percent_decode(reply.header("grpc-message"));
    if (status == SIDECALL_OK || message.empty()) return;
    throw Error(status, message, decode_base64(reply.header(kFaultsTrailer)).value_or(""));
  }

  std::string_view message_of(const Reply& reply) const {
    const int code = code_of(reply);
    if (code != kGrpcOk) throw_own_error(reply);
    if (code != kGrpcOk)
      fail(status_of(code), "the server answered with status " + std::to_string(code) + " of gRPC",
           percent_decode(reply.header("grpc-message")));
    return unframe_answer(reply.body.view());
  }
};

}  // namespace

std::unique_ptr<Client> make_grpc_client(std::shared_ptr<const Address> address) {
  return std::make_unique<GrpcClient>(std::move(address));
}

}  // namespace sidecall::net
