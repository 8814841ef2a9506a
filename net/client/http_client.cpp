// The Open Inference Protocol over HTTP; see client.h.
#include <sidecall/sidecall.h>

#include <optional>
#include <utility>

#include "base/text/percent.h"
#include "client.h"
#include "net/client/messages/answer_limits.h"
#include "net/client/messages/http_message.h"
#include "net/common/error.h"
#include "net/common/keys.h"

namespace sidecall::net {
namespace {

int32_t status_of(int http_status) {
  switch (http_status) {
    case 401:
    case 403:
      return SIDECALL_DENIED;
    case 404:
    case 502:
      return SIDECALL_UNREACHABLE;
    case 408:
    case 504:
      return SIDECALL_TIMEOUT;
    case 429:
    case 503:
      return SIDECALL_BUSY;
    default:
      return http_status >= 400 ? SIDECALL_ENGINE : SIDECALL_PROTOCOL;
  }
}

class HttpClient final : public Client {
 public:
  explicit HttpClient(std::shared_ptr<const Address> address)
      : Client(std::move(address)), path_("/v2/models/" + percent_encode(address_->model)) {
    if (!address_->version.empty()) path_ += "/versions/" + percent_encode(address_->version);
  }

  std::shared_ptr<Exchange> make_run(const InferRequest& request,
                                     Clock::time_point deadline) const override {
    std::shared_ptr<Exchange> exchange =
        make_exchange(path_ + "/infer", deadline, request.max_answer_bytes);
    HttpBody body = write_http_request(request, opened().form);
    exchange->is_post = true;
    exchange->body = std::move(body.bytes);
    if (opened().form.is_binary) {
      exchange->headers.emplace_back("Content-Type: application/octet-stream");
      exchange->headers.push_back(std::string(kJsonLengthHeader) + ": " +
                                  std::to_string(body.json_length));
    } else {
      exchange->headers.emplace_back("Content-Type: application/json");
    }
    exchange->timeout_header = kTimeoutHeader;
    exchange->replicas = replicas_;
    return exchange;
  }

  InferAnswer read_run(const Expected& expected, const Reply& reply) const override {
    require_answer(reply);
    require_ok(reply);
    return read_http_answer(expected, reply, opened().form.has_nulls);
  }

 private:
  std::shared_ptr<Exchange> make_live(Clock::time_point deadline) const override {
    return make_exchange("/v2/health/live", deadline, kSmallAnswerBytes);
  }

  void require_live(const Reply& reply) const override {
    require_answer(reply);
    require_ok(reply);
  }

  std::shared_ptr<Exchange> make_ready(Clock::time_point deadline) const override {
    return make_exchange(path_ + "/ready", deadline, kSmallAnswerBytes);
  }

  void require_ready(const Reply& ready) const override {
    require_answer(ready);
    // Servers answer 400, 404 or 503 for a model that they do not have, or that still loads. At
    // open all of these mean that there is no model to call yet.
    if (ready.status != 200) {
      if (status_of(ready.status) == SIDECALL_DENIED) require_ok(ready);
      fail(SIDECALL_UNREACHABLE, "the model is not ready", read_error_text(ready.body.view()));
    }
  }

  Metadata read_metadata(const ReplicaPtr& replica, Clock::time_point deadline) const override {
    const Reply server = get(replica, "/v2", deadline, kSmallAnswerBytes);
    const Reply answer = get(replica, path_, deadline, kMetadataBytes);
    require_ok(answer);
    Metadata metadata = read_http_metadata(answer.body.view());
    metadata.form = form_of(server);
    return metadata;
  }

  TensorForm form_of(const Reply& server) const {
    if (address_->format == Format::kBinary) return {true, false};
    TensorForm form;
    try {
      if (server.status == 200) form = read_form(server.body.view());
    } catch (const Error&) {
      // With format=json the client needs to know nothing about the server.
      if (address_->format == Format::kAuto) throw;
    }
    form.is_binary = form.is_binary && address_->format == Format::kAuto;
    form.has_nulls = form.has_nulls && !form.is_binary;
    return form;
  }

  Reply get(const ReplicaPtr& replica, const std::string& path, Clock::time_point deadline,
            uint64_t max_answer_bytes) const {
    const std::shared_ptr<Exchange> exchange = make_exchange(path, deadline, max_answer_bytes);
    exchange->only = replica;
    Reply reply = finish(exchange);
    require_answer(reply);
    return reply;
  }

  void require_ok(const Reply& reply) const {
    if (reply.status == 200) return;
    if (std::optional<Error> own = read_own_error(reply.body.view())) throw *std::move(own);
    const std::string code = std::to_string(reply.status);
    const int32_t status = status_of(reply.status);
    if (status == SIDECALL_PROTOCOL)
      fail(status, "expected status 200 or an error, got " + code, "");
    fail(status, "the server answered with status " + code, read_error_text(reply.body.view()));
  }

  std::string path_;
};

}  // namespace

std::unique_ptr<Client> make_http_client(std::shared_ptr<const Address> address) {
  return std::make_unique<HttpClient>(std::move(address));
}

}  // namespace sidecall::net
