// Serves a model by the Open Inference Protocol, over HTTP or gRPC, with libsidecall-net.so. Used
// by server.cpp.
#pragma once

#include <sidecall/server.h>

#include <memory>
#include <string>
#include <vector>

#include "core/model.h"
#include "log.h"
#include "net/api/serving.h"
#include "server.h"

namespace sidecall {

class NetworkServer final : public Server {
 public:
  // `is_local`: runs happen in this process. Throws the errors that sidecall_server_open documents.
  NetworkServer(const char* at, std::shared_ptr<const Model> model, bool is_local,
                const sidecall_server_options& options, std::shared_ptr<ServerLog> log);
  ~NetworkServer() override;

  std::string status() const override;
  bool drain(int64_t timeout_ns) override;
  int ended_fd() const noexcept override;

 private:
  sidecall_net_service describe(bool is_local);

  const sidecall_net_server_api& api_;
  const std::shared_ptr<const Model> model_;
  const std::shared_ptr<ServerLog> log_;
  const std::string title_;
  std::vector<sidecall_net_tensor> inputs_, outputs_;
  const bool is_lazy_;
  sidecall_net_server* server_ = nullptr;

  friend struct NetworkService;
};

}  // namespace sidecall
