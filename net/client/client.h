// A model on servers that speak the Open Inference Protocol: asks for its metadata and runs it.
// http_client.cpp and grpc_client.cpp implement the two forms of the protocol.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "address.h"
#include "net/client/messages/message.h"
#include "net/client/transfer/exchange.h"
#include "net/common/error.h"
#include "replicas.h"

namespace sidecall::net {

class Client {
 public:
  virtual ~Client() = default;
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  const Address& address() const { return *address_; }
  Replicas& replicas() const { return *replicas_; }

  // Asks all servers that get no runs yet whether the model is ready, and for its metadata. Returns
  // the metadata of the first answer. Servers that answered with the same metadata can be verified
  // afterwards (Replicas::next_described()). Throws UNREACHABLE, TIMEOUT, DENIED, PROTOCOL or
  // UNSUPPORTED if no server has the model.
  const Metadata& describe(Clock::time_point deadline);
  // After describe() has succeeded: asks the servers whose next check is due. Ignores errors.
  void describe_again(Clock::time_point deadline);

  // Checks each server step by step, for diagnosis. Calls `on_step` for each step. No step of a
  // server follows one that failed.
  struct Step {
    std::string server;  // the label of a server; the name of a host for the step "name"
    const char* name;    // "name", "live", "ready" or "metadata", or a step of probe.h
    int32_t status;      // SIDECALL_OK, or what failed
    std::string text;    // what was found, or why it failed
  };
  void probe(Clock::time_point deadline, const std::function<void(const Step&)>& on_step);

  // The exchange of a run, which is not submitted yet. Throws UNSUPPORTED.
  virtual std::shared_ptr<Exchange> make_run(const InferRequest& request,
                                             Clock::time_point deadline) const = 0;
  // The answer of a run that is over; it may point into the reply. Throws the error of the run.
  virtual InferAnswer read_run(const Expected& expected, const Reply& reply) const = 0;
  // The error of a run whose server has another model than the one that was opened.
  [[noreturn]] void fail_with_other_model() const;

 protected:
  explicit Client(std::shared_ptr<const Address> address);

  // The request that asks whether the server is live, and the function that checks the answer.
  virtual std::shared_ptr<Exchange> make_live(Clock::time_point deadline) const = 0;
  virtual void require_live(const Reply& reply) const = 0;
  // The question whether the model is ready, the check of the answer, and what follows it.
  virtual std::shared_ptr<Exchange> make_ready(Clock::time_point deadline) const = 0;
  virtual void require_ready(const Reply& reply) const = 0;
  virtual Metadata read_metadata(const ReplicaPtr& replica, Clock::time_point deadline) const = 0;
  // The metadata of the first server that answered; empty before that.
  const Metadata& opened() const { return opened_; }

  // An exchange with `path`, which begins with "/". Its server still has to be set.
  std::shared_ptr<Exchange> make_exchange(const std::string& path, Clock::time_point deadline,
                                          uint64_t max_answer_bytes) const;
  // Submits an exchange and waits for its end.
  static Reply finish(const std::shared_ptr<Exchange>& exchange);
  // Throws if there was no answer. An answer with any status is one.
  void require_answer(const Reply& reply) const;
  // Throws an error whose text begins with the label of the server. `what` is our text, and `text`
  // is that of the server.
  [[noreturn]] void fail(int32_t status, const std::string& what, const std::string& text) const;

  const std::shared_ptr<const Address> address_;
  const std::shared_ptr<Replicas> replicas_;
  const std::shared_ptr<AnswerShare> share_ = std::make_shared<AnswerShare>();

 private:
  using Asked = std::vector<std::shared_ptr<Exchange>>;
  std::vector<std::optional<Error>> describe_all(const std::vector<ReplicaPtr>& asked,
                                                 Clock::time_point deadline);
  static void wait_for_answers(const Asked& asked, Clock::time_point deadline);
  void take_metadata(const ReplicaPtr& replica, Metadata metadata);

  Metadata opened_;  // set before the first run, and never changed afterwards
  bool is_described_ = false;
};

// Throws INVALID_ARGUMENT.
std::unique_ptr<Client> make_client(const std::string& uri);

std::unique_ptr<Client> make_http_client(std::shared_ptr<const Address> address);
std::unique_ptr<Client> make_grpc_client(std::shared_ptr<const Address> address);

}  // namespace sidecall::net
