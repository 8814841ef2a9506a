// The calls that differ between systems; nothing else in the command is Linux-only.
#pragma once

#include <string>
#include <vector>

namespace sidecall::cli {

// The folder of the running command with its links resolved, "" where the system cannot tell.
std::string executable_folder();

// Lets the process open as many descriptors as it may: a server has two for each client, and the soft limit is often 1 024.
void raise_descriptor_limit();

// Makes sure that 0, 1 and 2 are taken: otherwise the next file opened would become our stdout.
void occupy_standard_streams();

// Ends the process as the signal would have by default.
[[noreturn]] void die_by_signal(int signal);

// From here on the first SIGINT or SIGTERM is only noted; a second one ends the process.
void note_interrupts();

// The signal that was noted, or 0.
int noted_interrupt();

// Waits until `fd` can be read. False when an interrupt was noted, before or while waiting.
bool wait_readable(int fd);
void wait_writable(int fd);

// Runs a program with its stdout captured and stderr dropped. False when it could not start or did not exit with 0.
bool capture(const std::string& program, const std::vector<std::string>& arguments,
             std::string& output);

// Replaces this process. Returns only when that failed.
void replace_process(const std::string& program, const std::vector<std::string>& arguments);

}  // namespace sidecall::cli
