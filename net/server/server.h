// A server at one address: its listener and its threads. Each thread has its own connections, whose
// requests it answers; see loop.h.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "net/server/connection/loop.h"
#include "net/server/credentials/renewal.h"
#include "router.h"

namespace sidecall::net {

class Server {
 public:
  // Listens and, unless options.start_later is set, starts. Throws INVALID_ARGUMENT, DENIED, BUSY
  // (the address is in use), UNREACHABLE (the host is not one of this machine), OUT_OF_MEMORY.
  Server(const ServerAddress& address, const sidecall_net_service& service,
         const sidecall_net_server_options& options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Starts the threads, which accept connections. Throws OUT_OF_MEMORY, and UNREACHABLE after
  // drain().
  void start();
  bool drain(Clock::time_point deadline);
  int ended_fd() const { return ended_fd_; }
  std::string status() const;

 private:
  void stop() noexcept;

  ServerContext context_;
  std::unique_ptr<Listener> listener_;
  Shared shared_;
  std::vector<std::unique_ptr<Loop>> loops_;
  std::unique_ptr<Renewal> renewal_;
  std::mutex start_mutex_;  // guards the two members below
  std::vector<std::thread> threads_;
  bool has_ended_ = false;
  int ended_fd_ = -1;
};

}  // namespace sidecall::net
