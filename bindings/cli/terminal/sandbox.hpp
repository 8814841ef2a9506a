// Takes rights away from this process, so that a model that takes it over gets neither files nor
// network. Used by `sidecall serve --sandbox`. docs/hardening.md says what is left.
#pragma once

#include <string>

namespace sidecall::cli {

// Closes the descriptors that the parent process left open, except 0 to 2 and `keep` (-1 for none).
void close_inherited(int keep);

// The process cannot undo the next two functions. They return "" if they succeeded, and otherwise
// why not.

// From now on this thread, and every thread that it starts, can open, create and remove files only
// in `folder` and below ("" for nowhere), and connect to no TCP port. Needs Landlock (Linux 5.13;
// for TCP ports 6.7).
std::string confine_files(const std::string& folder);

// From now on all threads may only make the system calls that a running server needs. All others
// fail with EPERM: among them those that open or remove files, start programs, make sockets,
// connect and send signals. Standard input and output become /dev/null.
std::string confine_calls();

}  // namespace sidecall::cli
