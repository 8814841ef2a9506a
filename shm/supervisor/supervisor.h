// One address in front of several worker processes: accepts connections, and gives each to the
// worker that has the fewest. Workers serve with Server::control(). Used by bindings/c;
// PROTOCOL.md, section 1, describes the messages.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "shm/server/server.h"

namespace sidecall::shm {

// All functions may be called from any thread. One thread of the supervisor accepts connections and
// passes them to workers; a second thread answers STATUS. A forked child must not use the
// supervisor, but may destroy it.
class Supervisor {
 public:
  // `address` is the part after "shm:"; without one only direct() connects. Of `options` only
  // allowed_uids, group, max_connections, max_half_open, hello_ns, max_run_ns, unready_after_ns and
  // log are used. Throws INVALID_ARGUMENT, DENIED, BUSY (a living server is there).
  Supervisor(std::optional<std::string> address, ServerOptions options);
  ~Supervisor();  // close()
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  // Creates a control socket and returns the worker's end; the supervisor keeps the other end.
  // `worker` is a number that the caller chooses and that is not in use. Throws INVALID_ARGUMENT.
  Fd add(int32_t worker);

  // Closes the control socket: the worker drains and exits.
  void remove(int32_t worker) noexcept;

  int32_t num_ready() const;

  // Whether the worker has been ready, until it is removed.
  bool was_ready(int32_t worker) const;

  // The number of a worker that got a connection at least 15 s ago and has answered none since
  // then, or -1.
  int32_t hung();

  // Finds the runs that take long in comparison with ServerOptions::max_run_ns. May be called at
  // any time; the result stays the same for at least next_ns.
  struct LongRuns {
    int32_t overran = -1;    // the number of a worker with a run that exceeds the limit
    int64_t overran_ns = 0;  // how long this run has taken
    int32_t num_late = 0;    // other workers with a run that has used half of the limit
    int64_t next_ns = -1;    // -1 without a limit
  };
  LongRuns long_runs();

  // How many workers were removed after hung() or long_runs() had named them.
  uint64_t num_hung() const;

  // Waits until a worker is ready, then creates the socket at the address. Later calls do not
  // create it again. Returns false if the deadline passes first. Throws what Listener throws.
  bool listen(Deadline deadline);

  // Connections from this process to the workers. Their number counts as that of other clients.
  Direct direct();

  // Returns the summed counters of all workers, and the status of each worker under "each". For a
  // worker that has ended, or that does not answer within a second, the sum includes the counters
  // of its last answer, if it ever gave one.
  std::string status();

  // Stops accepting, refuses the connections that wait, closes the control socket of every worker,
  // and removes the address.
  void close() noexcept;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;  // a Direct may hold it for a moment
  ForkMark mark_;
};

}  // namespace sidecall::shm
