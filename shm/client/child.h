// Starts, watches and ends a program without extra threads, shells or signal handlers. Used by
// endpoint_child.cpp.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "shm/common/socket.h"

namespace sidecall::shm {

// Splits a command into words as a shell does: quotes and backslashes are handled, nothing is
// expanded. Throws INVALID_ARGUMENT (no word, an open quote, a NUL).
std::vector<std::string> split_command(std::string_view command);

class Child {
 public:
  // Starts words[0], which is searched for along PATH, with `socket` as descriptor 3 and
  // SIDECALL_FD=3. Standard input is /dev/null, standard output goes to standard error, other
  // descriptors are closed, and signals have their default actions and are not blocked. Returns 0,
  // or the errno of the call that failed.
  int start(const std::vector<std::string>& words, int socket);

  bool is_running() { return pid_ > 0 && !is_over(Deadline::after(0)); }

  // Waits until the child has ended, and reaps it. Returns false if the deadline passes first, and
  // true at once if no child was started.
  bool is_over(Deadline deadline);

  // Sends SIGTERM, then SIGKILL if the child still runs after `grace_ns`, and reaps the child.
  void end(int64_t grace_ns) noexcept;

  // Sends a signal to the child if it is running.
  void signal(int number) noexcept;

  // Call this in a forked process. There the child is a sibling, so it must not be signalled or
  // reaped.
  void forget() noexcept { pid_ = 0; }

  // How the last child ended: " (the child process ended with exit status 3)". "" while it runs.
  std::string exit_text() const;

 private:
  enum class Ending { kNone, kUnknown, kExited, kSignalled };

  void reap(bool wait) noexcept;
  pid_t pid_ = 0;
  Fd pidfd_;
  Ending ending_ = Ending::kNone;
  int exit_number_ = 0;  // the exit status, or the signal
};

}  // namespace sidecall::shm
