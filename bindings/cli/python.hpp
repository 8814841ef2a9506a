// Finds a Python that has the sidecall package, for the commands that hand over to it.
#pragma once

#include <string>
#include <vector>

namespace sidecall::cli {

struct PythonCandidate {
  std::string path;
  std::string found_by;  // "SIDECALL_PYTHON", "beside the command", "PATH"
  bool runs = false;
  std::string package;  // the package's folder; "" where it is not installed
  std::string version;  // of the package; "" for a source folder that was never installed
};

// The program of that name on PATH, or "". A name with a slash is a path already.
std::string search_path(const std::string& program);

// The interpreters that exist, in order, up to and including the first that has the package.
std::vector<PythonCandidate> find_python();

// Runs `python3 -m MODULE COMMAND ARGUMENTS...` in place of this process. Comes back only as a Failure.
[[noreturn]] void hand_over(const std::string& module, const std::string& command,
                            const std::vector<std::string>& arguments);

}  // namespace sidecall::cli
