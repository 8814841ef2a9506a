// Defines the opaque types of the C ABI that sidecall.h declares. A model and a call keep the model
// alive.
#pragma once

#include <sidecall/sidecall.h>

#include <memory>
#include <utility>

#include "core/call.h"
#include "core/model.h"
#include "core/queue.h"
#include "core/specs.h"

struct sidecall_model {
  explicit sidecall_model(std::shared_ptr<const sidecall::Model> opened)
      : model(std::move(opened)),
        specs(std::make_shared<const sidecall::Specs>(model->signature())) {}

  std::shared_ptr<const sidecall::Model> model;
  std::shared_ptr<const sidecall::Specs> specs;
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

inline Call& use(sidecall_call* call) {
  require(call != nullptr, "call must not be NULL");
  return call->call;
}

}  // namespace sidecall
