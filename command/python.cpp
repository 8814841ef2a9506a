// Hands commands over to the Python package; see python.hpp. The search order: SIDECALL_PYTHON,
// then the folder of this command (the same environment), then PATH.
#include "python.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <iterator>

#include "command.hpp"
#include "terminal/output.hpp"
#include "terminal/platform.hpp"

namespace sidecall::cli {
namespace {

// Keeps the current folder out of Python's search path, so that a numpy.py there does not run.
constexpr char kSafePath[] = "-P";

// Finds the package without importing it. A folder of that name without __init__.py is not the
// package; its spec.origin is None.
constexpr char kProbe[] =
    "import importlib.util, importlib.metadata as m\n"
    "spec = importlib.util.find_spec('sidecall')\n"
    "if spec and spec.origin:\n"
    "    print(spec.submodule_search_locations[0])\n"
    "    try: print(m.version('sidecall'))\n"
    "    except m.PackageNotFoundError: pass\n";

void probe(PythonCandidate& candidate) {
  std::string output;
  candidate.runs = capture(candidate.path, {kSafePath, "-c", kProbe}, output);
  const size_t first = output.find('\n');
  if (!candidate.runs || first == std::string::npos) return;
  candidate.package = output.substr(0, first);
  // "" if the probe printed no version.
  candidate.version = output.substr(first + 1, output.find('\n', first + 1) - first - 1);
}

// An empty entry of PYTHONPATH, as in `:/opt/lib`, means the current folder. Python ignores a
// PYTHONPATH that is empty as a whole.
void drop_empty_entries_of_pythonpath() {
  const char* value = std::getenv("PYTHONPATH");
  if (value == nullptr) return;
  std::string kept, rest = value;
  while (!rest.empty()) {
    const size_t colon = rest.find(':');
    const std::string entry = rest.substr(0, colon);
    if (!entry.empty()) kept += (kept.empty() ? "" : ":") + entry;
    rest = colon == std::string::npos ? "" : rest.substr(colon + 1);
  }
  setenv("PYTHONPATH", kept.c_str(), 1);
}

std::string describe(const PythonCandidate& candidate) {
  const char* problem =
      candidate.runs ? "package not installed" : "does not run as Python 3.11 or newer";
  return candidate.path + " (" + candidate.found_by + "): " + problem;
}

}  // namespace

std::string search_path(const std::string& program) {
  if (program.find('/') != std::string::npos) return program;
  const char* path = std::getenv("PATH");
  std::string rest = path ? path : "/usr/bin:/bin";
  while (!rest.empty()) {
    const size_t colon = rest.find(':');
    const std::string candidate = rest.substr(0, colon) + "/" + program;
    if (candidate[0] == '/' && ::access(candidate.c_str(), X_OK) == 0) return candidate;
    rest = colon == std::string::npos ? "" : rest.substr(colon + 1);
  }
  return "";
}

std::vector<PythonCandidate> find_python() {
  drop_empty_entries_of_pythonpath();
  std::vector<PythonCandidate> result;
  // Probes one interpreter. Returns true if it has the package, which ends the search.
  const auto consider = [&](const std::string& path, const char* found_by, bool must_exist) {
    if (path.empty() || (must_exist && ::access(path.c_str(), X_OK) != 0)) return false;
    for (const auto& known : result) {
      if (known.path == path) return false;
    }
    result.push_back({path, found_by, false, "", ""});
    probe(result.back());
    return !result.back().package.empty();
  };
  const char* setting = std::getenv("SIDECALL_PYTHON");
  if (setting && *setting) {
    const std::string named = search_path(setting);
    if (consider(named.empty() ? setting : named, "SIDECALL_PYTHON", false)) return result;
  }
  const std::string folder = executable_folder();
  if (!folder.empty() && consider(folder + "/python3", "beside the command", true)) return result;
  consider(search_path("python3"), "PATH", true);
  return result;
}

void hand_over(const std::string& module, const std::string& command,
               std::vector<std::string> arguments) {
  const auto candidates = find_python();
  if (candidates.empty() || candidates.back().package.empty()) {
    std::string tried;
    for (const auto& candidate : candidates)
      tried += (tried.empty() ? "; tried " : ", ") + describe(candidate);
    throw Failure(kEnvironment,
                  command +
                      " needs Python with the package sidecall: pip install sidecall, "
                      "or name an interpreter in SIDECALL_PYTHON" +
                      tried);
  }
  std::vector<std::string> words = {kSafePath, "-m", module, command};
  std::move(arguments.begin(), arguments.end(), std::back_inserter(words));
  const std::string python = candidates.back().path;
  replace_process(python, words);
  throw Failure(kEnvironment, python + ": " + error_text(errno));
}

}  // namespace sidecall::cli
