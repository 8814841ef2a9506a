// The descriptors for which the control thread waits. Used by it and by the types whose descriptors
// it watches.
#pragma once

#include <cstddef>
#include <cstdint>

#include "shm/common/socket.h"

namespace sidecall::shm {

// What a watched descriptor belongs to. The number that is given with it says which one.
enum class Source : uint64_t {
  kTasks,       // number: 0
  kListener,    // number: the descriptor
  kSupervisor,  // number: 0
  kHalfOpen,    // number: the id
  kConnection,  // number: the id
};

class Poller {
 public:
  struct Event {
    Source source;
    uint64_t number;
  };
  static constexpr int kMaxEvents = 64;

  Poller();  // throws OUT_OF_MEMORY

  // `events` are those of epoll. Throws OUT_OF_MEMORY.
  void watch(int fd, uint32_t events, Source source, uint64_t number);
  void change(int fd, uint32_t events, Source source, uint64_t number) noexcept;
  void unwatch(int fd) noexcept;

  // Waits for at most `timeout_ms`; -1 for any time. Returns the number of events.
  int wait(Event (&events)[kMaxEvents], int timeout_ms) noexcept;

 private:
  Fd epoll_;
};

}  // namespace sidecall::shm
