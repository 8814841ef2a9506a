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

  // Asks all servers that get no runs yet whether the model is ready, and what it takes and
  // returns. Returns what the first one tells. The servers that tell the same can be verified then
  // (Replicas::next_described()). Throws UNREACHABLE, TIMEOUT, DENIED, PROTOCOL, UNSUPPORTED if
  // there is none.
  const Metadata& describe(Clock::time_point deadline);
  // The same for servers whose time has come, after describe() succeeded. Keeps errors to itself.
  void describe_again(Clock::time_point deadline);

  // Asks each server step by step, for people who look for a fault. Calls `on_step` for each step;
  // the first that fails is the last one of its server.
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

  // The question whether the server is live, and the check of the answer.
  virtual std::shared_ptr<Exchange> make_live(Clock::time_point deadline) const = 0;
  virtual void require_live(const Reply& reply) const = 0;
  // The question whether the model is ready, the check of the answer, and what follows it.
  virtual std::shared_ptr<Exchange> make_ready(Clock::time_point deadline) const = 0;
  virtual void require_ready(const Reply& reply) const = 0;
  virtual Metadata read_metadata(const ReplicaPtr& replica, Clock::time_point deadline) const = 0;
  // What the first server told; empty before that.
  const Metadata& opened() const { return opened_; }

  // An exchange with `path`, which begins with "/". Its server still has to be set.
  std::shared_ptr<Exchange> make_exchange(const std::string& path, Clock::time_point deadline,
                                          uint64_t max_answer_bytes) const;
  // Submits an exchange and waits for its end.
  static Reply finish(const std::shared_ptr<Exchange>& exchange);
  // Throws unless there was an answer, whatever its status.
  void require_answer(const Reply& reply) const;
  // Throws an error whose text begins with the server. `what` is one of ours, `text` the server's.
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
