// The control socket of a worker (SIDECALL_FD): its supervisor sends it connections, and learns how
// many it has. Used by the control thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "shm/common/socket.h"
#include "shm/server/connections/memory_budget.h"
#include "shm/server/reporting/event_log.h"
#include "shm/server/threads/poller.h"

namespace sidecall::shm {

class SupervisorLink {
 public:
  SupervisorLink(EventLog* log, Poller* poller, MemoryBudget* budget)
      : log_(log), poller_(poller), budget_(budget) {}

  // Sets the socket, and how long a drain may take when it hangs up. Without `accepts`, messages
  // wait until watch_held() is called. Throws OUT_OF_MEMORY.
  void set(Socket socket, int64_t drain_ns, bool accepts);
  // Reads messages of a socket that was set without `accepts`. Returns false if there is none.
  // Throws OUT_OF_MEMORY.
  bool watch_held();
  void close() noexcept;
  int64_t drain_ns() const noexcept { return drain_ns_; }

  // Whether a connection was made by the process of the supervisor.
  bool is_from(const PeerCredentials& peer) const;

  // Reads one message. MEMORY and messages that are not allowed are handled here. Throws PROTOCOL
  // and OUT_OF_MEMORY, for MEMORY.
  struct Message {
    enum Kind { kNone, kConnection, kHungUp };
    Kind kind = kNone;
    Fd connection;
  };
  Message read();

  // Sends the number of connections if the supervisor does not know it. A supervisor distributes
  // new connections by it. If the message cannot be sent now, it is sent later.
  void send_load(size_t load) noexcept;
  // The supervisor has counted a connection that ended or is about to: it must get the number again
  // even if the number is the same.
  void send_load_again() noexcept { sent_load_ = UINT64_MAX; }
  bool must_send(size_t load) const noexcept { return socket_ && sent_load_ != load; }

 private:
  EventLog* const log_;
  Poller* const poller_;
  MemoryBudget* const budget_;
  Socket socket_;
  Socket held_;  // it becomes socket_ in watch_held()
  int64_t drain_ns_ = 0;
  uint64_t sent_load_ = UINT64_MAX;  // the number last sent; UINT64_MAX: send again
};

}  // namespace sidecall::shm
