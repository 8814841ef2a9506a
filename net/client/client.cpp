// What the clients for HTTP and gRPC share; see client.h.
#include "client.h"

#include <sidecall/sidecall.h>

#include <algorithm>
#include <utility>

#include "loop.h"
#include "net/common/error.h"

namespace sidecall::net {

int64_t left_ms(Clock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
  return std::max<int64_t>(left.count(), 1);
}

std::unique_ptr<Client> make_client(const std::string& uri) {
  auto address = std::make_shared<const Address>(read_address(uri));
  const Protocol protocol = address->protocol;
  return protocol == Protocol::kHttp ? make_http_client(std::move(address))
                                     : make_grpc_client(std::move(address));
}

std::shared_ptr<Exchange> Client::make_exchange(const std::string& path,
                                                Clock::time_point deadline) const {
  auto exchange = std::make_shared<Exchange>();
  exchange->address = address_;
  exchange->deadline = deadline;
  exchange->url = address_->is_secure ? "https://" : "http://";
  exchange->url += address_->socket.empty()
                       ? address_->host.name + ":" + std::to_string(address_->host.port)
                       : "localhost";
  exchange->url += address_->prefix + path;
  return exchange;
}

Reply Client::finish(const std::shared_ptr<Exchange>& exchange) {
  submit(exchange);
  if (!exchange->wait(exchange->deadline)) {
    cancel(exchange);
    throw Error(SIDECALL_TIMEOUT,
                exchange->address->label + ": expected an answer in time, got none");
  }
  return std::move(exchange->reply());
}

void Client::fail(int32_t status, const std::string& what, const std::string& text) const {
  throw Error(status, address_->label + ": " + what + (text.empty() ? "" : ": " + text));
}

void Client::require_answer(const Reply& reply) const {
  switch (reply.transfer) {
    case Transfer::kAnswered:
      return;
    case Transfer::kUnreachable:
      fail(SIDECALL_UNREACHABLE, "the server cannot be reached", reply.problem);
    case Transfer::kDenied:
      fail(SIDECALL_DENIED, "the request cannot be sent", reply.problem);
    case Transfer::kBroken:
      fail(SIDECALL_PEER_DIED, "the connection ended before the answer", reply.problem);
    case Transfer::kTimedOut:
      fail(SIDECALL_TIMEOUT, "expected an answer in time, got none", "");
    case Transfer::kInvalid:
      fail(SIDECALL_PROTOCOL, "expected an answer in HTTP", reply.problem);
    case Transfer::kNoMemory:
      break;
  }
  fail(SIDECALL_OUT_OF_MEMORY, "out of memory", "");
}

}  // namespace sidecall::net
