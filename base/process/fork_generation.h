// Tells a forked child from its parent, without a system call.
#pragma once

#include <cstdint>

namespace sidecall {

// How many forks lie between the process that loaded the library and this process. Handles and
// objects that belong to one process store the value when they are created.
uint64_t fork_generation() noexcept;

}  // namespace sidecall
