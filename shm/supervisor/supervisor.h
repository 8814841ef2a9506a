// One address in front of several worker processes: accepts, and hands each connection to the worker that has the fewest. Workers serve
// with Server::control(). Used by bindings/c; PROTOCOL.md, section 1, has the messages.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "shm/server/server.h"

namespace sidecall::shm {

// Functions may be called from any thread. One thread of its own accepts and hands over, another answers STATUS. A forked child must not use it, but
// may destroy it.
class Supervisor {
 public:
  // `address` is what follows "shm:". Of `options` only admission, max_connections, max_half_open, hello_ns and log count. Throws INVALID_ARGUMENT,
  // DENIED, BUSY (a living server is there).
  Supervisor(std::string address, ServerOptions options);
  ~Supervisor();  // close()
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  // The worker's end of a new control socket; the other end stays here. `worker` is the caller's number, not in use. Throws INVALID_ARGUMENT.
  Fd add(int32_t worker);

  // Hangs up: the worker drains and exits.
  void remove(int32_t worker) noexcept;

  int32_t num_ready() const;

  // Waits until a worker is ready, and makes the address appear, once. False when the deadline came first. Throws what Listener throws.
  bool listen(Deadline deadline);

  // Counters of all workers together, also of those that have ended as far as they were asked before, and of each under "each". Of those that do not
  // answer within a second what they told last counts.
  std::string status();

  // Stops accepting, refuses who waits, hangs up on every worker, removes the address.
  void close() noexcept;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
  ForkMark mark_;
};

}  // namespace sidecall::shm
