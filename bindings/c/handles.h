// Defines the opaque types of the C ABI that sidecall.h declares. A model and a call keep the model
// alive.
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
struct KeptCalls {
  explicit KeptCalls(uint64_t created_in) : generation(created_in) {}
  ~KeptCalls();

  struct Kept {
    sidecall_call* call;
    uint64_t bytes;  // of its tensors
  };

  const uint64_t generation;
  std::mutex mutex;
  std::vector<Kept> calls;
  uint64_t bytes = 0;  // the sum
};

}  // namespace sidecall

struct sidecall_model {
  explicit sidecall_model(std::shared_ptr<const sidecall::Model> opened)
      : model(std::move(opened)),
        specs(std::make_shared<const sidecall::Specs>(model->signature())) {}

  std::shared_ptr<const sidecall::Model> model;
  std::shared_ptr<const sidecall::Specs> specs;
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
inline sidecall_call* open_call(const sidecall_model& model, int64_t rows, bool lends_connection) {
  const Model& opened = *model.model;
  return new sidecall_call{
      model.model,
      model.specs,
      {opened.signature(), opened.engine(), opened.ignores_extra(), rows, lends_connection}};
}

// The options with their defaults, checked. Throws INVALID_ARGUMENT.
sidecall_model_options read_model_options(const sidecall_model_options* options);
sidecall_model* open_model(const char* uri, const sidecall_model_options& options);
sidecall_model* open_model_bytes(std::string bytes, const sidecall_model_options& options);

inline Call& use(sidecall_call* call) {
  require(call != nullptr, "call must not be NULL");
  return call->call;
}

}  // namespace sidecall
