// What the kernel tells of the process at the other end while it ends. Used by channel*.cpp.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace sidecall::shm {

constexpr int64_t kLookAtProcess = 10 * 1000 * 1000;  // while a call waits for it

// The number of a pidfd's process as this process sees it; 0 where it does not: another PID namespace, no /proc, or it is gone.
pid_t pid_of(int pidfd) noexcept;

// Whether all threads of a process are ending: killed, exited, or writing their core dump. None of them will ever run the program again, but its sockets
// hang up later, when the kernel has freed its memory: that takes about 0.1 ms for each MiB. False where nothing can be told.
bool is_ending(pid_t pid) noexcept;

}  // namespace sidecall::shm
