// A model on a server that speaks the Open Inference Protocol: asks for its metadata and runs it.
// http_client.cpp and grpc_client.cpp implement the two forms of the protocol.
#pragma once

#include <memory>
#include <string>

#include "address.h"
#include "exchange.h"
#include "message.h"

namespace sidecall::net {

class Client {
 public:
  virtual ~Client() = default;
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  const Address& address() const { return *address_; }

  // Asks whether the model is ready, and what it takes and returns. Throws UNREACHABLE, TIMEOUT,
  // DENIED, PROTOCOL, UNSUPPORTED.
  virtual Metadata describe(Clock::time_point deadline) = 0;

  // The exchange of a run, which is not submitted yet. Throws UNSUPPORTED.
  virtual std::shared_ptr<Exchange> make_run(const InferRequest& request,
                                             Clock::time_point deadline) const = 0;
  // The answer of a run that is over; it may point into the reply. Throws the error of the run.
  virtual InferAnswer read_run(const Expected& expected, const Reply& reply) const = 0;

 protected:
  explicit Client(std::shared_ptr<const Address> address) : address_(std::move(address)) {}

  // An exchange with the URL of `path`, which begins with "/".
  std::shared_ptr<Exchange> make_exchange(const std::string& path,
                                          Clock::time_point deadline) const;
  // Submits an exchange and waits for its end.
  static Reply finish(const std::shared_ptr<Exchange>& exchange);
  // Throws unless there was an answer, whatever its status.
  void require_answer(const Reply& reply) const;
  // Throws an error whose text begins with the server. `what` is one of ours, `text` the server's.
  [[noreturn]] void fail(int32_t status, const std::string& what, const std::string& text) const;

  const std::shared_ptr<const Address> address_;
};

// Throws INVALID_ARGUMENT.
std::unique_ptr<Client> make_client(const std::string& uri);

std::unique_ptr<Client> make_http_client(std::shared_ptr<const Address> address);
std::unique_ptr<Client> make_grpc_client(std::shared_ptr<const Address> address);

// How many milliseconds are left, rounded up; at least 1.
int64_t left_ms(Clock::time_point deadline);

}  // namespace sidecall::net
