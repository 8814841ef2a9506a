// Serves a model or a function at an address, over shared memory or over the network. Used by the C
// ABI.
#pragma once

#include <sidecall/server.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backend.h"
#include "core/model.h"
#include "log.h"
#include "model.h"
#include "shm/server/server.h"

namespace sidecall {

// A server at one address. Any thread may use it.
class Server {
 public:
  Server() = default;
  virtual ~Server() = default;
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // These do what the functions of server.h with their names do. A timeout of -1 has no end.
  virtual std::string status() const = 0;
  virtual void start() = 0;
  virtual bool drain(int64_t timeout_ns) = 0;
  virtual int ended_fd() const noexcept = 0;
  // For servers in front of this one. Throws UNSUPPORTED if no other server can be in front.
  virtual Backend& backend();
};

// Owns the channel's server, the handler of its requests and its log.
class ModelServer final : public Server {
 public:
  static constexpr char kNoAddress[] = "";  // compared by its own address

  // `at` is shm:NAME or shm:///path, nullptr for connections that arrive over the socket that
  // SIDECALL_FD names, or kNoAddress: then only servers in front of it connect. `in_place`: for
  // each input, whether the engine may read it in memory that the client can still write to.
  // Throws the errors that sidecall_server_open documents.
  ModelServer(const char* at, const std::shared_ptr<const Model>& model, std::vector<bool> in_place,
              const sidecall_server_options& options, std::shared_ptr<ServerLog> log);

  std::string status() const override;
  void start() override;
  bool drain(int64_t timeout_ns) override;
  int ended_fd() const noexcept override { return server_.ended_fd(); }
  Backend& backend() override { return backend_; }

 private:
  const std::shared_ptr<ServerLog> log_;
  ModelHandler handler_;
  shm::Server server_;  // destroyed before the handler, which it uses
  Backend backend_;
};

// Serves, over HTTP or gRPC, what a server or a supervisor of this process serves. Throws the
// errors that sidecall_server_open_frontend documents.
std::unique_ptr<Server> serve_frontend(const char* at, Backend* backend,
                                       const sidecall_model_options& defaults,
                                       const sidecall_server_options& options,
                                       std::shared_ptr<ServerLog> log);

std::unique_ptr<Server> serve_model(const char* at, const std::shared_ptr<const Model>& model,
                                    const sidecall_server_options& options,
                                    const std::shared_ptr<ServerLog>& log);

// Serves a function with a signature, a contract, or both. Runs the golden rows of the contract
// through the function first, as `verification` says.
std::unique_ptr<Server> serve_function(const char* at, const sidecall_service& service,
                                       const sidecall_model_options& verification,
                                       const sidecall_server_options& options,
                                       const std::shared_ptr<ServerLog>& log);

}  // namespace sidecall
