// The socket of a server in the file system: its lock, its path and its permissions. Used by Server
// and by the supervisor of several workers.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "shm/common/fork.h"
#include "shm/common/socket.h"

namespace sidecall::shm {

// Which other users can reach the socket. Admission then decides about each connection.
struct Access {
  // The socket is opened to this group, and so is its folder if we create it or if it is the
  // default folder. -1 for none.
  int64_t group = -1;
  bool is_for_others = false;  // some users are admitted by uid, so all users can reach the socket
};

// A listening socket. The path is removed at the end if it still belongs to this socket.
class Listener {
 public:
  Listener() = default;

  // `address` is the part after "shm:". Replaces the path of a dead server. Throws BUSY (a living
  // server is there), DENIED, INVALID_ARGUMENT, UNREACHABLE (the folder cannot be used),
  // OUT_OF_MEMORY.
  Listener(std::string_view address, const Access& access);
  Listener(Listener&& other) noexcept { *this = std::move(other); }
  Listener& operator=(Listener&& other) noexcept;
  ~Listener() { close(); }

  int fd() const noexcept { return socket_.get(); }
  const std::string& path() const noexcept { return path_; }
  void close() noexcept;

 private:
  std::string path_, lock_path_;
  Fd lock_;
  Fd socket_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  ForkMark mark_;  // a forked child must not remove the path
};

}  // namespace sidecall::shm
