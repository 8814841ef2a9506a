// Finds out from the kernel whether the process at the other end is ending. Used by channel*.cpp.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace sidecall::shm {

constexpr int64_t kLookAtProcess = 10 * 1000 * 1000;  // interval of checks while a call waits

// The process id that belongs to a pidfd, as this process sees it. 0 if this process cannot see
// that process: it is in another PID namespace, there is no /proc, or it is gone.
pid_t pid_of(int pidfd) noexcept;

// Whether all threads of a process are ending: killed, exited, or writing their core dump. None of
// these threads will execute the program's code again, but the process's sockets hang up only after
// the kernel has freed its memory, which takes about 0.1 ms for each MiB. False if this cannot be
// determined.
bool is_ending(pid_t pid) noexcept;

}  // namespace sidecall::shm
