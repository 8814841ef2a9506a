// Defines sidecall_model and sidecall_call, opaque types of the C ABI. Both keep the model alive.
#pragma once

#include <sidecall/sidecall.h>

#include <memory>
#include <utility>

#include "core/call.h"
#include "core/model.h"
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
};

namespace sidecall {

inline Call& use(sidecall_call* call) {
  require(call != nullptr, "call must not be NULL");
  return call->call;
}

}  // namespace sidecall
