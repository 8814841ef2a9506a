// Inspects the machine for doctor; see doctor_machine.hpp. Specific to Linux: cgroups and memfd.
#include "doctor_machine.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <vector>

#include "base/process/socket_folder.h"
#include "python.hpp"
#include "terminal/platform.hpp"

namespace sidecall::cli {
namespace {

// Finds the package as require('sidecall') would from the current folder.
constexpr char kProbe[] =
    "console.log(process.execPath); console.log(process.version);"
    "try { const file = require.resolve('sidecall/package.json', {paths: [process.cwd()]});"
    "console.log(require('path').dirname(file)); console.log(require(file).version) } catch {}";

void add(JsonDocument& document, Json& object, const char* key, const std::string& text) {
  Json value;
  if (!text.empty()) value.SetString(text, document.GetAllocator());
  object.AddMember(rapidjson::StringRef(key), value, document.GetAllocator());
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

Json node(JsonDocument& document) {
  Json result;
  std::string output;
  const std::string program = search_path("node");
  if (program.empty() || !capture(program, {"-e", kProbe}, output)) return result;
  std::vector<std::string> lines = lines_of(output);
  lines.resize(4);
  result.SetObject();
  add(document, result, "path", lines[0]);
  add(document, result, "version", lines[1]);
  add(document, result, "package", lines[2]);
  add(document, result, "package_version", lines[3]);
  return result;
}

// Returns "" if nothing is wrong, or if the status of the folder cannot be read. The latter
// includes a folder that does not exist yet: the first server creates it.
std::string problem_of(const std::string& folder) {
  int error_number = 0;
  const char* fault = socket_folder_fault(folder, &error_number);
  return fault != nullptr ? fault : "";
}

std::vector<std::string> servers_in(const std::string& folder) {
  std::vector<std::string> names;
  DIR* open = ::opendir(folder.c_str());
  if (open == nullptr) return names;
  while (const dirent* entry = ::readdir(open)) {
    const std::string name = entry->d_name;
    if (name.size() > 5 && name.compare(name.size() - 5, 5, ".sock") == 0)
      names.push_back("shm:" + name.substr(0, name.size() - 5));
  }
  ::closedir(open);
  std::sort(names.begin(), names.end());
  return names;
}

Json sockets(JsonDocument& document) {
  Json result(rapidjson::kObjectType);
  const std::string folder = socket_folder();
  add(document, result, "folder", folder);
  result.AddMember("exists", ::access(folder.c_str(), F_OK) == 0, document.GetAllocator());
  add(document, result, "problem", problem_of(folder));
  Json names(rapidjson::kArrayType);
  for (const auto& name : servers_in(folder))
    names.PushBack(Json(name, document.GetAllocator()), document.GetAllocator());
  result.AddMember("addresses", names, document.GetAllocator());
  return result;
}

// Client and server seal their shared memory. Kernels before 5.1 and some sandboxes do not allow
// that.
bool can_share_memory() {
  const int fd = ::memfd_create("sidecall-doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd == -1) return false;
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
  const bool can = ::ftruncate(fd, 4096) == 0 &&
                   ::fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE) == 0;
  ::close(fd);
  return can;
}

Json limit_of(decltype(RLIMIT_NOFILE) which) {
  rlimit limit = {};
  if (::getrlimit(which, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return Json();
  return Json(static_cast<uint64_t>(limit.rlim_cur));
}

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

int usable_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return ::sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
}

Json limits(JsonDocument& document) {
  auto& memory = document.GetAllocator();
  Json result(rapidjson::kObjectType);
  utsname about = {};
  ::uname(&about);
  add(document, result, "kernel", std::string(about.release) + " " + about.machine);
  result.AddMember("cpus", usable_cpus(), memory);
  add(document, result, "cgroup_cpu_max", first_line("/sys/fs/cgroup/cpu.max"));
  add(document, result, "cgroup_memory_max", first_line("/sys/fs/cgroup/memory.max"));
  result.AddMember("open_files", limit_of(RLIMIT_NOFILE), memory);
  result.AddMember("address_space", limit_of(RLIMIT_AS), memory);
  result.AddMember("shared_memory", can_share_memory(), memory);
  return result;
}

}  // namespace

JsonDocument look_at_machine() {
  JsonDocument document(rapidjson::kObjectType);
  auto& memory = document.GetAllocator();
  document.AddMember("node", node(document), memory);
  document.AddMember("sockets", sockets(document), memory);
  document.AddMember("limits", limits(document), memory);
  return document;
}

}  // namespace sidecall::cli
