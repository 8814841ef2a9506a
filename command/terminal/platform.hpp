// Functions that depend on the operating system. Apart from these and doctor_machine.cpp, the
// command has no code that is specific to Linux.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sidecall::cli {

// Return the path of the running command and its folder, with symbolic links resolved, or "" if the
// system cannot tell.
std::string executable();
std::string executable_folder();

// Raises the soft limit of open descriptors to the hard limit: a server has two descriptors for
// each client, and the soft limit is often 1024.
void raise_descriptor_limit();

// Makes sure that the descriptors 0, 1 and 2 are in use. Otherwise a file that is opened later
// could become stdout.
void occupy_standard_streams();

// Ends the process as the default action of the signal does.
[[noreturn]] void die_by_signal(int signal);

// From now on the first SIGINT or SIGTERM is only recorded; a second one ends the process.
void note_interrupts();

// Returns the signal that was recorded, or 0.
int noted_interrupt();

// Waits until `fd` is readable. Returns false if a signal was recorded before or during the wait.
bool wait_readable(int fd);

// The same, for at most timeout_ns; -1 waits without limit.
enum class Wake { kReadable, kSignal, kTimeout };
Wake wait_readable_for(int fd, int64_t timeout_ns);

void wait_writable(int fd);

// Runs a program, captures its stdout and discards its stderr. Returns false if it could not be
// started or did not exit with 0.
bool capture(const std::string& program, const std::vector<std::string>& arguments,
             std::string& output);

// Replaces this process. Returns only if that failed.
void replace_process(const std::string& program, const std::vector<std::string>& arguments);

}  // namespace sidecall::cli
