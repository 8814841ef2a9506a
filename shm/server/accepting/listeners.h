// The listening sockets of a server: accepts connections, and pauses when the process has run out
// of descriptors. Used by the control thread.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "listener.h"
#include "refusals.h"
#include "shm/server/threads/poller.h"

namespace sidecall::shm {

class Listeners {
 public:
  Listeners(EventLog* log, Poller* poller, Refusals* refusals);

  // Without `accepts`, connections wait until watch_next() is called. Throws OUT_OF_MEMORY.
  void add(Listener listener, bool accepts);
  // Begins to accept at an address that add() got without `accepts`. Returns false if none is left.
  // Throws OUT_OF_MEMORY.
  bool watch_next();
  void close() noexcept;

  // Accepts the connections at the listener with this descriptor and passes each to `take`. Throws
  // what `take` throws.
  void accept_all(int fd, const std::function<void(Socket)>& take);

  // Ends a pause that is over. It is due at paused_until_ns(), which is INT64_MAX if there is none.
  void resume(int64_t now) noexcept;
  int64_t paused_until_ns() const noexcept { return is_paused_ ? paused_until_ns_ : INT64_MAX; }

 private:
  void accept_without_descriptors(int fd);
  void pause(bool pause) noexcept;

  EventLog* const log_;
  Poller* const poller_;
  Refusals* const refusals_;

  std::vector<Listener> listeners_;
  std::vector<int> held_;  // descriptors of those that are not watched before watch_next()
  Fd spare_;
  bool is_paused_ = false;
  int64_t paused_until_ns_ = 0;
};

}  // namespace sidecall::shm
