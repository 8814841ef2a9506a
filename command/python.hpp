// Finds a Python interpreter that has the sidecall package; used by the commands that run in
// Python, and by doctor.
#pragma once

#include <string>
#include <vector>

namespace sidecall::cli {

struct PythonCandidate {
  std::string path;
  std::string found_by;  // "SIDECALL_PYTHON", "beside the command", "PATH"
  bool runs = false;
  std::string package;  // the folder of the package; "" if it is not installed
  std::string version;  // of the package; "" for a source folder that is not installed
};

// Returns the path of a program on PATH, or "" if there is none. A name with a slash is returned
// unchanged.
std::string search_path(const std::string& program);

// Returns the interpreters that exist, in search order, up to and including the first that has the
// package.
std::vector<PythonCandidate> find_python();

// Replaces this process by `python3 -m MODULE COMMAND ARGUMENTS...`. Does not return; throws a
// Failure if that is not possible.
[[noreturn]] void hand_over(const std::string& module, const std::string& command,
                            std::vector<std::string> arguments);

}  // namespace sidecall::cli
