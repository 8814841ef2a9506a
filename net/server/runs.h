// The runs of the model that one thread of the server has under way. A run that is expected to be
// short happens on this thread at once; others are started, and their descriptor tells when they
// end. Used by the router.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "message.h"
#include "metrics.h"
#include "net/api/serving.h"
#include "net/common/error.h"
#include "poller.h"

namespace sidecall::net {

// Why a request failed.
struct Failure {
  int32_t status;
  std::string message;
  std::string faults;  // members of a JSON object, or ""
};

class Runs {
 public:
  struct Order {
    // Gives the inputs to the call. Throws Error.
    std::function<void(sidecall_service_call*)> give;
    // The response, from the results of the call. Throws Error.
    std::function<Response(sidecall_service_call*)> answer;
    std::function<Response(const Failure&)> fail;
    Clock::time_point deadline;
    size_t request_bytes;
  };

  // `max_fault_bytes`: of the faults in a response.
  Runs(const sidecall_net_service& service, size_t max_fault_bytes, Poller* poller,
       Metrics* metrics);
  ~Runs();
  Runs(const Runs&) = delete;
  Runs& operator=(const Runs&) = delete;

  // Responds exactly once, possibly before it returns, unless the responder is abandoned first.
  void begin(Responder* responder, Order order);
  // The responder is about to be destroyed: ends its run, if it has one.
  void abandon(Responder* responder) noexcept;

 private:
  class Run;
  struct FreeCall {
    void (*close)(sidecall_service_call*);
    void operator()(sidecall_service_call* call) const { close(call); }
  };
  using Call = std::unique_ptr<sidecall_service_call, FreeCall>;

  std::unique_ptr<Run> take_idle();
  void finish(Run* run);
  void end(std::unique_ptr<Run> run, const Failure* failure);
  int64_t& estimate(size_t request_bytes) noexcept;

  const sidecall_net_service& service_;
  const size_t max_fault_bytes_;
  Poller* const poller_;
  Metrics* const metrics_;
  std::vector<std::unique_ptr<Run>> idle_;
  std::unordered_map<Run*, std::unique_ptr<Run>> running_;
  // How long a run took, by the number of bits of the size of its request; 0 if that is unknown.
  std::array<int64_t, 65> estimates_ns_{};
};

// Throws an Error with the faults of the call unless the status is OK.
void check_call(const sidecall_net_service& service, sidecall_service_call* call, int32_t status,
                const sidecall_net_error& error);

}  // namespace sidecall::net
