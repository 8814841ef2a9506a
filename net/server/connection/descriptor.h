// Owns a descriptor.
#pragma once

#include <unistd.h>

#include <utility>

#include "base/process/fork_aware.h"

namespace sidecall::net {

// It is closed in a forked child too. Otherwise a listener or a lock would outlive the server
// there, and clients would not see the end of their connections.
class Descriptor final : public ForkAware {
 public:
  explicit Descriptor(int fd = -1) noexcept { set(fd); }
  Descriptor(Descriptor&& other) noexcept { set(other.release()); }
  Descriptor& operator=(Descriptor&& other) noexcept {
    const int theirs = other.release();
    other.set(release());
    set(theirs);
    return *this;
  }
  ~Descriptor() {
    const int fd = release();
    if (fd >= 0) ::close(fd);
  }
  int get() const noexcept { return fd_; }

 private:
  void set(int fd) noexcept {
    fd_ = fd;
    if (fd >= 0) watch();
  }
  int release() noexcept {
    unwatch();
    return std::exchange(fd_, -1);
  }
  void in_child() noexcept override {
    ::close(fd_);
    fd_ = -1;
  }

  int fd_ = -1;
};

}  // namespace sidecall::net
