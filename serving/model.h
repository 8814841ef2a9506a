// Serves a model over the channel. Each slot has one call, whose inputs and outputs stay bound to
// the memory of the slot. Used by server.cpp.
#pragma once

#include <cstdint>
#include <memory>

#include "core/model.h"
#include "shm/server/server.h"

namespace sidecall {

class ModelHandler final : public shm::Handler {
 public:
  explicit ModelHandler(std::shared_ptr<const Model> model) : model_(std::move(model)) {}
  std::unique_ptr<shm::Session> open_session() override;
  uint64_t session_bytes() const noexcept override;

 private:
  const std::shared_ptr<const Model> model_;
};

// The answer, with PEER_DIED, of runs that were under way when this process began to end: ONNX
// Runtime may have run on objects that the exit has destroyed (base/process/process_end.h).
inline constexpr const char* kProcessEnds = "the process of the server ends";

// The request that this thread answers at the moment. A served function uses it to ask how much
// time is left. It is nullptr while golden rows run.
const shm::Request* current_request() noexcept;

}  // namespace sidecall
