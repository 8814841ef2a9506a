// What the handles of the C ABI hold: sidecall.h declares these types, and programs see only
// pointers to them. Used by bindings/c and by serving, whose network server calls a model through
// the C ABI.
#pragma once

#include <sidecall/sidecall.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "base/process/per_process.h"
#include "core/call/call.h"
#include "core/model.h"
#include "core/queue/queue.h"
#include "core/specs.h"

namespace sidecall {

// The calls that a model keeps for the next user; see sidecall_model_take_call().
class KeptCalls {
 public:
  explicit KeptCalls(uint64_t created_in) : generation(created_in) {}
  ~KeptCalls();
  KeptCalls(const KeptCalls&) = delete;
  KeptCalls& operator=(const KeptCalls&) = delete;

  sidecall_call* take();  // nullptr if there is none
  // Returns false if the call cannot be kept.
  bool keep(sidecall_call* call, bool lends_connection);

  const uint64_t generation;  // the fork generation; see PerProcess

 private:
  struct Kept {
    sidecall_call* call;
    uint64_t bytes;  // of its tensors
  };

  std::mutex mutex_;
  std::vector<Kept> calls_;
  uint64_t bytes_ = 0;  // the sum
};

}  // namespace sidecall

// A model and a call keep the model alive.
struct sidecall_model {
  explicit sidecall_model(std::shared_ptr<const sidecall::Model> opened, bool lends = false)
      : model(std::move(opened)),
        specs(std::make_shared<const sidecall::Specs>(model->signature())),
        lends_connections(lends) {}

  const std::shared_ptr<const sidecall::Model> model;
  const std::shared_ptr<const sidecall::Specs> specs;
  // Whether the calls that it keeps give back their connections, so that the next run of each call
  // can go to the least busy process.
  const bool lends_connections;
  mutable sidecall::PerProcess<sidecall::KeptCalls> kept_calls;
};

struct sidecall_call {
  std::shared_ptr<const sidecall::Model> model;  // outlives the call below
  // Callers may use pointers into the specs until the model and its last call are closed.
  std::shared_ptr<const sidecall::Specs> specs;
  sidecall::Call call;
  sidecall::QueuedRun run{&call, this};
};

struct sidecall_queue {
  std::shared_ptr<sidecall::Queue> queue;
};

namespace sidecall {

// `lends_connection`: see Engine::make_context().
sidecall_call* open_call(const sidecall_model& model, int64_t rows, bool lends_connection);
// A run that is under way then owns the call.
void close_call(sidecall_call* call);

inline Call& use(sidecall_call* call) {
  require(call != nullptr, "call must not be NULL");
  return call->call;
}

}  // namespace sidecall
