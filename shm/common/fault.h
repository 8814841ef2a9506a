// Named points, at each step of the protocol and on both sides, at which a test can kill, stop or
// pause this process. They do nothing in ordinary builds.
#pragma once

namespace sidecall::shm {

// In builds with SIDECALL_FAULTS, performs an action if the environment variable
// SIDECALL_FAULT=POINT[@N]:ACTION names this point and the point is reached for the N-th time.
// Without @N it is the first time.
// ACTION: kill (SIGKILL), stop (SIGSTOP), exit (_exit(7)), pause (sleeps 200 ms). The variable is
// read once.
#ifdef SIDECALL_FAULTS
void fault_point(const char* name) noexcept;
#else
inline void fault_point(const char*) noexcept {}
#endif

}  // namespace sidecall::shm
