// Finds and checks the folder for sockets; see socket_folder.h.
#include "socket_folder.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace sidecall {

std::string socket_folder() {
  const char* runtime = ::secure_getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && runtime[0] == '/') return std::string(runtime) + "/sidecall";
  const std::string user = std::to_string(::geteuid());
  struct stat found{};
  if (::stat(("/run/user/" + user).c_str(), &found) == 0 && S_ISDIR(found.st_mode))
    return "/run/user/" + user + "/sidecall";
  return "/tmp/sidecall-" + user;
}

const char* socket_folder_fault(const std::string& folder, int* error_number) noexcept {
  struct stat found{};
  *error_number = ::lstat(folder.c_str(), &found) == 0 ? 0 : errno;
  if (*error_number != 0) return nullptr;
  if (!S_ISDIR(found.st_mode)) return "expected a folder, got another kind of file";
  if (found.st_uid != ::geteuid()) return "expected a folder of this user, got another user's";
  if ((found.st_mode & 022) != 0)
    return "expected a folder that only its user may change, got one that others may change";
  return nullptr;
}

}  // namespace sidecall
