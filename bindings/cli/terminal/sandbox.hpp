// Takes rights away from this process, so that a model that takes it over gets neither files nor
// network. Used by `sidecall serve --sandbox`. docs/hardening.md says what is left.
#pragma once

#include <string>

namespace sidecall::cli {

// Both functions are irreversible and cannot be undone by the process. They return "" if they
// succeeded, and otherwise why not.

// From now on this thread, and every thread that it starts, can open, create and remove files only
// directly in `folder` ("" for nowhere), and connect to no TCP port. Needs Landlock (Linux 5.13;
// for TCP ports 6.7).
std::string confine_files(const std::string& folder);

// From now on all threads may only make the system calls that a server that is running needs. All
// others fail with EPERM: among them those that open files, start programs, make sockets, connect
// and send signals. `may_unlink`: files may still be removed, which confine_files() limits.
std::string confine_calls(bool may_unlink);

}  // namespace sidecall::cli
