// Serves a model or a function at an address: owns the channel's server, the handler of its
// requests and its log. Used by the C ABI.
#pragma once

#include <sidecall/server.h>

#include <memory>
#include <vector>

#include "core/model.h"
#include "log.h"
#include "model.h"
#include "shm/server/server.h"

namespace sidecall {

class ModelServer {
 public:
  // `at` is shm:NAME or shm:///path, or nullptr for connections that arrive over the socket that
  // SIDECALL_FD names. `in_place`: for each input, whether the engine may read it in memory that
  // the client can still write to. Throws the errors that sidecall_server_open documents.
  ModelServer(const char* at, const std::shared_ptr<const Model>& model, std::vector<bool> in_place,
              const sidecall_server_options& options, std::shared_ptr<ServerLog> log);

  shm::Server& channel() { return server_; }

 private:
  const std::shared_ptr<ServerLog> log_;
  ModelHandler handler_;
  shm::Server server_;  // destroyed before the handler, which it uses
};

std::unique_ptr<ModelServer> serve_model(const char* at, const std::shared_ptr<const Model>& model,
                                         const sidecall_server_options& options,
                                         const std::shared_ptr<ServerLog>& log);

// Serves a function with a signature, a contract, or both. Runs the golden rows of the contract
// through the function first, as `verification` says.
std::unique_ptr<ModelServer> serve_function(const char* at, const sidecall_service& service,
                                            const sidecall_model_options& verification,
                                            const sidecall_server_options& options,
                                            const std::shared_ptr<ServerLog>& log);

}  // namespace sidecall
