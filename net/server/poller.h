// Watches the descriptors of one thread of the server with epoll.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

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
  void retire(std::unique_ptr<Watched> watched);

  // Waits for events and passes them on. `timeout_ms`: -1 for no limit.
  void poll(int timeout_ms);

 private:
  const int epoll_;
  std::vector<std::unique_ptr<Watched>> retired_;
};

}  // namespace sidecall::net
