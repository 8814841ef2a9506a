// The server that runs the calls of servers for HTTP and gRPC in front of it, in this process or in
// workers. Owned by that server or its supervisor.
#pragma once

#include <sidecall/sidecall.h>

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "core/model.h"
#include "shm/common/direct.h"
#include "shm/common/socket.h"

namespace sidecall {

class Server;

// The open servers in front of another one. Any thread may use them.
class Frontends {
 public:
  void add(Server* frontend);
  void remove(Server* frontend) noexcept;
  // Drains all of them at the same time. Returns false if requests are still running after the
  // deadline.
  bool drain(shm::Deadline deadline);

 private:
  std::mutex mutex_;
  std::vector<Server*> frontends_;
};

class Backend {
 public:
  explicit Backend(shm::Direct direct) : direct_(std::move(direct)) {}

  // The model, with its golden rows already verified. All servers in front share it, and with it
  // the connections, so that it knows how many of their runs each worker has. Throws the errors of
  // opening an shm: address.
  std::shared_ptr<const Model> model(const sidecall_model_options& defaults);

  const shm::Direct& direct() const noexcept { return direct_; }

  // The servers in front hold it too. They should be closed first, but a mistake must do no harm.
  const std::shared_ptr<Frontends>& frontends() const noexcept { return frontends_; }

 private:
  const std::shared_ptr<Frontends> frontends_ = std::make_shared<Frontends>();
  const shm::Direct direct_;
  std::mutex mutex_;
  std::weak_ptr<const Model> model_;
};

}  // namespace sidecall
