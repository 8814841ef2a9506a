// Finds and checks the folder for sockets; see socket_folder.h.
#include "socket_folder.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace sidecall {
namespace {

int hex(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

}  // namespace

std::string socket_folder() {
  const char* runtime = ::secure_getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && runtime[0] == '/') return std::string(runtime) + "/sidecall";
  const std::string user = std::to_string(::geteuid());
  struct stat found{};
  if (::stat(("/run/user/" + user).c_str(), &found) == 0 && S_ISDIR(found.st_mode))
    return "/run/user/" + user + "/sidecall";
  return "/tmp/sidecall-" + user;
}

std::string decode_socket_path(std::string_view address, const char** fault) {
  *fault = nullptr;
  if (address.substr(0, 2) == "//") address.remove_prefix(2);
  if (address.empty() || address[0] != '/') *fault = "expected an absolute path after 'shm://'";
  std::string decoded;
  for (size_t i = 0; i < address.size() && *fault == nullptr; ++i) {
    char character = address[i];
    if (character == '%') {
      const int high = i + 2 < address.size() ? hex(address[i + 1]) : -1;
      const int low = high < 0 ? -1 : hex(address[i + 2]);
      if (low < 0) *fault = "expected two hexadecimal digits after '%'";
      character = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (character == '\0') *fault = "expected a path without NUL";
    decoded += character;
  }
  return decoded;
}

const char* socket_folder_fault(const std::string& folder, int* error_number) noexcept {
  struct stat found{};
  *error_number = ::lstat(folder.c_str(), &found) == 0 ? 0 : errno;
  if (*error_number != 0) return nullptr;
  if (!S_ISDIR(found.st_mode)) return "expected a folder, but there is a file of another kind";
  if (found.st_uid != ::geteuid())
    return "expected a folder of this user, but another user owns it";
  if ((found.st_mode & 022) != 0)
    return "expected a folder that only its user may change, but others may change it: use chmod "
           "700";
  return nullptr;
}

}  // namespace sidecall
