// Watches the descriptors of one thread of the server with epoll.
#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <memory>

#include "base/process/spin_policy.h"

namespace sidecall::net {

// Something with a descriptor.
class Watched {
 public:
  Watched() = default;
  Watched(const Watched&) = delete;
  Watched& operator=(const Watched&) = delete;
  virtual ~Watched() = default;
  // `events` are those of epoll. Must not destroy the object; see Poller::retire().
  virtual void on_events(uint32_t events) = 0;

 private:
  friend class Poller;
  bool is_retired_ = false;
  std::unique_ptr<Watched> next_retired_;
};

// Has work for which it must be asked while the thread does not sleep, because no descriptor then
// announces it.
class Worked {
 public:
  // Called before each wait: does its work. Returns for how many milliseconds the thread
  // may sleep; -1 for no limit.
  virtual int work() = 0;

 protected:
  ~Worked() = default;
};

class Poller {
 public:
  Poller();  // throws OUT_OF_MEMORY
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  // Throws OUT_OF_MEMORY.
  void add(int fd, uint32_t events, Watched* watched);
  void change(int fd, uint32_t events, Watched* watched) noexcept;
  // Closing a descriptor removes it, too.
  void remove(int fd) noexcept;

  // No event reaches the object from now on. It is destroyed after the present events.
  void retire(std::unique_ptr<Watched> watched) noexcept;

  // From now on, and as long as the poller exists.
  void set_worked(Worked* worked) noexcept { worked_ = worked; }

  // Waits for events and passes them on. `timeout_ms`: -1 for no limit.
  void poll(int timeout_ms);

 private:
  // How long a thread looks for events before it sleeps, if that is worthwhile. A client that sends
  // its next request at once needs 10 to 40 us on a machine with idle CPUs.
  static constexpr int64_t kPollNs = 50 * 1000;

  // Returns the number of events; -1 or 0 if there are none.
  int wait(epoll_event* events, int most, int timeout_ms);
  void destroy_retired() noexcept;

  const int epoll_;
  Worked* worked_ = nullptr;
  SpinPolicy spin_policy_{kPollNs};
  // Only a client that is alone is polled for. With several of them, the CPU is better left to
  // those that run on this machine, and the next request is often there already.
  bool polls_ = false;
  const void* latest_ = nullptr;      // the object of the latest event; may be destroyed
  std::unique_ptr<Watched> retired_;  // the first of a list, so that retire() needs no memory
};

}  // namespace sidecall::net
