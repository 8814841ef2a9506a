// The server that runs the calls of servers for HTTP and gRPC in front of it, in this process or in
// workers. Owned by that server or its supervisor.
#pragma once

#include <sidecall/sidecall.h>

#include <memory>
#include <mutex>
#include <utility>

#include "core/model.h"
#include "shm/common/direct.h"

namespace sidecall {

class Behind {
 public:
  explicit Behind(shm::Direct direct) : direct_(std::move(direct)) {}

  // The model, with its golden rows already verified. All servers in front share it, and with it
  // the connections, so that it knows how many of their runs each worker has. Throws the errors of
  // opening an shm: address.
  std::shared_ptr<const Model> model(const sidecall_model_options& defaults);

  const shm::Direct& direct() const noexcept { return direct_; }

 private:
  const shm::Direct direct_;
  std::mutex mutex_;
  std::weak_ptr<const Model> model_;
};

}  // namespace sidecall
