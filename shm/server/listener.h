// The socket of a server in the file system: its lock, its path, who may reach it. Used by Server and by the supervisor of several workers.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "shm/common/fork.h"
#include "shm/common/socket.h"

namespace sidecall::shm {

// Who but this user can reach the socket; admission decides then.
struct Access {
  int64_t group =
      -1;  // the folder (where we make it, or it is the default one) and the socket are opened to this group
  bool is_for_others = false;  // other users were named: the socket takes connections from all
};

// A listening socket. The path is removed at the end, if it is still this socket's.
class Listener {
 public:
  Listener() = default;

  // `address` is what follows "shm:". Replaces the path of a dead server. Throws BUSY (a living server is there), DENIED, INVALID_ARGUMENT,
  // UNREACHABLE (the folder cannot be used), OUT_OF_MEMORY.
  Listener(std::string_view address, const Access& access);
  Listener(Listener&& other) noexcept { *this = std::move(other); }
  Listener& operator=(Listener&& other) noexcept;
  ~Listener() { close(); }

  int fd() const noexcept { return socket_.get(); }
  const std::string& path() const noexcept { return path_; }
  void close() noexcept;

 private:
  std::string path_;
  Fd lock_;
  Fd socket_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  ForkMark mark_;  // a child must leave the path alone
};

}  // namespace sidecall::shm
