// A model or a function behind an address: the channel's server, what answers its requests, and its log. Used by the C ABI.
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
  // `at` is shm:NAME or shm:///path, or nullptr for connections that come over the socket that SIDECALL_FD names. `in_place`: the inputs
  // that the engine may read where the client can still write. Throws what sidecall_server_open answers.
  ModelServer(const char* at, const std::shared_ptr<const Model>& model, std::vector<bool> in_place,
              const sidecall_server_options& options, std::shared_ptr<ServerLog> log);

  shm::Server& channel() { return server_; }

 private:
  const std::shared_ptr<ServerLog> log_;
  ModelHandler handler_;
  shm::Server server_;  // ends before the handler does
};

std::unique_ptr<ModelServer> serve_model(const char* at, const std::shared_ptr<const Model>& model,
                                         const sidecall_server_options& options,
                                         const std::shared_ptr<ServerLog>& log);

// A function with a signature, a contract, or both. Golden rows run through it here, as `verification` says.
std::unique_ptr<ModelServer> serve_function(const char* at, const sidecall_service& service,
                                            const sidecall_model_options& verification,
                                            const sidecall_server_options& options,
                                            const std::shared_ptr<ServerLog>& log);

}  // namespace sidecall
