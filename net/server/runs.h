// The runs of the model that one thread of the server has under way. A run that is expected to be
// short happens on this thread at once; others go to a completion queue, which this thread looks
// after. Other threads read large requests and write the answers to them. Used by the router.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "held_memory.h"
#include "message.h"
#include "metrics.h"
#include "net/api/serving.h"
#include "net/common/error.h"
#include "net/server/connection/poller.h"
#include "served_model.h"
#include "workers.h"

namespace sidecall::net {

// Why a request failed.
struct Failure {
  int32_t status;
  std::string message;
  std::string faults;  // members of a JSON object, or ""
};

class Runs final : private Watched, private Worked {
 public:
  // The functions may be called by another thread, one after the other.
  struct Order {
    // Sets the inputs of the call. Throws Error.
    std::function<void(sidecall_call*)> set_inputs;
    // The response, from the results of the call. Throws Error.
    std::function<Response(sidecall_call*)> answer;
    std::function<Response(const Failure&)> fail;
    Clock::time_point deadline;
    size_t request_bytes;
    std::shared_ptr<HeldMemory> memory;  // that reading the request takes
  };

  // Throws OUT_OF_MEMORY.
  Runs(const ServedModel& model, Poller* poller, Metrics* metrics, Workers* workers);
  ~Runs();
  Runs(const Runs&) = delete;
  Runs& operator=(const Runs&) = delete;

  // Responds exactly once, possibly before it returns, unless the responder is abandoned first. If
  // there is no memory for a response, the responder gives up instead.
  void begin(Responder* responder, Order order);
  // The responder is about to be destroyed: ends its run, if it has one.
  void abandon(Responder* responder) noexcept;

 private:
  class Run;
  struct Close {
    const sidecall_functions* library;
    void operator()(sidecall_call* call) const { library->call_close(call); }
    void operator()(sidecall_queue* queue) const { library->queue_close(queue); }
  };
  using Call = std::unique_ptr<sidecall_call, Close>;
  using Queue = std::unique_ptr<sidecall_queue, Close>;

  // What workers have finished, for the thread of these runs.
  class Finished;
  using RunPtr = std::unique_ptr<Run>;

  void on_events(uint32_t) override { has_event_ = true; }  // of the queue's descriptor
  int work() override;
  Queue open_queue() const;
  void launch(RunPtr run);
  void start(RunPtr run);
  void finish(Run* run);
  void answer(RunPtr run);
  void end(RunPtr run);
  void do_elsewhere(RunPtr run, void (*task)(Run*), void (Runs::*next)(RunPtr));
  void take_finished();
  void note_progress() noexcept;

  const ServedModel& model_;
  const sidecall_functions& library_;
  Poller* const poller_;
  Metrics* const metrics_;
  Workers* const workers_;
  const Queue queue_;
  bool has_event_ = false;
  std::unordered_map<Run*, RunPtr> running_;  // and those that a worker has
  std::unique_ptr<Finished> finished_;
};

}  // namespace sidecall::net
