// Serves a model by the Open Inference Protocol, over HTTP or gRPC, with libsidecall-net.so. Used
// by server.cpp.
#pragma once

#include <sidecall/server.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/abi/handles.h"
#include "core/model.h"
#include "log.h"
#include "net/api/serving.h"
#include "server.h"

namespace sidecall {

// How a served model executes its runs.
struct Execution {
  bool is_local = false;           // in this process, by its engine
  bool is_repeatable = false;      // a run has no effect but its answer
  std::function<bool()> is_ready;  // whether runs can be executed now; empty for always
  // See shm::Direct::num_hung; empty for no workers.
  std::function<int64_t()> num_hung;
};

class NetworkServer final : public Server {
 public:
  // Throws the errors that sidecall_server_open documents.
  NetworkServer(const char* at, std::shared_ptr<const Model> model, Execution execution,
                const sidecall_server_options& options, std::shared_ptr<ServerLog> log);
  ~NetworkServer() override;

  std::string status() const override;
  void start() override;
  bool drain(int64_t timeout_ns) override;
  int ended_fd() const noexcept override;

 private:
  sidecall_net_service describe();

  const sidecall_net_server_api& api_;
  const sidecall_model model_;
  const std::shared_ptr<ServerLog> log_;
  const std::string title_;
  std::vector<sidecall_net_tensor> inputs_, outputs_;
  const Execution execution_;
  const uint64_t generation_;  // the fork generation
  sidecall_net_server* server_ = nullptr;

  friend struct NetworkService;
};

// The status of all network servers of this process: `,"network":[...]`, or "" without any.
std::string network_status();

}  // namespace sidecall
