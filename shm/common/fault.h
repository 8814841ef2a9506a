// Named points at which a test can kill, stop or pause this process: at each step of the protocol, on both sides. Nothing in ordinary builds.
#pragma once

namespace sidecall::shm {

// With SIDECALL_FAULTS, acts when SIDECALL_FAULT=POINT[@N]:ACTION names this point, the N-th time it is reached (the first time without @N).
// ACTION: kill (SIGKILL), stop (SIGSTOP), exit (_exit(7)), pause (sleeps 200 ms). The variable is read once.
#ifdef SIDECALL_FAULTS
void fault_point(const char* name) noexcept;
#else
inline void fault_point(const char*) noexcept {}
#endif

}  // namespace sidecall::shm
