// Takes rights away from this process, so that a model that gains control of it can access neither
// files nor network. Used by `sidecall serve --sandbox`. docs/hardening.md says what remains
// possible.
#pragma once

#include <string>

namespace sidecall::cli {

// Closes the descriptors that the parent process left open, except 0 to 2 and `keep` (-1 for none).
void close_inherited(int keep);

// The process cannot undo the next two functions. They return "" if they succeeded, and otherwise
// the reason of the failure.

// From now on this thread, and every thread that it starts, can open, create and remove files only
// in `folder` and below ("" for nowhere), and can neither bind nor connect to a TCP port. It can
// also open /dev/null and /proc/sys/kernel/overflowuid. Needs Landlock (Linux 5.13; for TCP ports
// 6.7).
std::string confine_files(const std::string& folder);

// From now on all threads may only make the system calls that a running server needs. All others
// fail with EPERM (clone3 with ENOSYS): among them those that open or remove files, start programs,
// make sockets, connect, and send signals to other processes. Standard input and output become
// /dev/null.
std::string confine_calls();

}  // namespace sidecall::cli
