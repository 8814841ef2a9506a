// Takes rights away from this process, so that a model that gains control of it can access neither
// files nor network. Used by `sidecall serve --sandbox`. docs/deployment/hardening.md says what
// remains possible.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sidecall::cli {

// Closes the descriptors that the parent process left open, except 0 to 2 and `keep` (-1 for none).
// Returns why it failed, or "".
std::string close_inherited(int keep);

// The process cannot undo the next two functions. They return "" if they succeeded, and otherwise
// the reason of the failure.

// What a server still needs after confine_files().
struct Needs {
  std::vector<std::string> socket_folders;  // where it makes its sockets
  std::vector<std::string> read_folders;    // with files that it reads again when they change
  std::vector<uint64_t> ports;              // where it listens; 0 for any free port
};

// From now on this thread, and every thread that it starts, can open, create and remove files only
// in the folders for sockets and below, and can open files for reading in the other folders and
// below. It can listen only at the given TCP ports, and connect to none. It can also open /dev/null
// and /proc/sys/kernel/overflowuid. Needs Landlock (Linux 5.13; for TCP ports 6.7). Fails if there
// are folders for reading and the process has other threads, which Landlock would not confine.
std::string confine_files(const Needs& needs);

// From now on all threads may only make the system calls that a running server needs. All others
// fail with EPERM (clone3 with ENOSYS): among them those that open or remove files, start programs,
// make sockets, connect, and send signals to other processes. Standard input and output become
// /dev/null. With `may_read`, files can be opened for reading, as far as confine_files() allows it.
std::string confine_calls(bool may_read);

}  // namespace sidecall::cli
