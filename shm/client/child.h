// A program started, watched and ended without threads, shells or signal handlers. Used by endpoint_child.cpp.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "shm/common/socket.h"

namespace sidecall::shm {

// Words as a shell splits them: quotes and backslashes, nothing is expanded. Throws INVALID_ARGUMENT (no word, an open quote, a NUL).
std::vector<std::string> split_command(std::string_view command);

class Child {
 public:
  // Starts words[0], looked for along PATH, with `socket` as descriptor 3 and SIDECALL_FD=3; standard input is empty, standard output goes to standard error, other
  // descriptors are closed, signals are as in a fresh process. Returns 0 or the errno of what failed.
  int start(const std::vector<std::string>& words, int socket);

  bool is_running() { return pid_ > 0 && !is_over(Deadline::after(0)); }

  // Waits until it has ended, and reaps it then. True also where none was started.
  bool is_over(Deadline deadline);

  // SIGTERM, SIGKILL after `patience_ns`, and reaps it.
  void end(int64_t patience_ns);

  // Sends it a signal while it runs.
  void signal(int number) noexcept;

  // In a forked process, where it is a sibling.
  void forget() noexcept { pid_ = 0; }

  // How the last one ended: " (its child ended with exit status 3)", "" while it runs.
  const std::string& obituary() const noexcept { return obituary_; }

 private:
  void reap(bool wait);
  pid_t pid_ = 0;
  Fd pidfd_;
  std::string obituary_;
};

}  // namespace sidecall::shm
