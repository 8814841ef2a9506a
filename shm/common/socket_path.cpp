// Finds the paths of sockets: the rules of PROTOCOL.md, section 1, for both ends.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "error.h"
#include "socket.h"

namespace sidecall::shm {
namespace {

[[noreturn]] void refuse(std::string_view address, const char* text) {
  throw Error(SIDECALL_INVALID_ARGUMENT, "address 'shm:" + std::string(address) + "': " + text);
}

int hex(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

std::string decode_path(std::string_view address) {
  std::string_view path = address;
  if (path.substr(0, 2) == "//") path.remove_prefix(2);
  if (path.empty() || path[0] != '/') refuse(address, "expected an absolute path after 'shm://'");
  std::string decoded;
  for (size_t i = 0; i < path.size(); ++i) {
    char character = path[i];
    if (character == '%') {
      const int high = i + 2 < path.size() ? hex(path[i + 1]) : -1;
      const int low = high < 0 ? -1 : hex(path[i + 2]);
      if (low < 0) refuse(address, "expected two hexadecimal digits after '%'");
      character = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (character == '\0') refuse(address, "expected a path without NUL");
    decoded += character;
  }
  return decoded;
}

bool is_name(std::string_view name) {
  if (name.empty() || name.size() > 64 || name[0] == '.') return false;
  for (const char c : name)
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
          c == '_' || c == '-'))
      return false;
  return true;
}

std::string default_folder() {
  const char* runtime = ::secure_getenv("XDG_RUNTIME_DIR");
  if (runtime && runtime[0] == '/') return std::string(runtime) + "/sidecall";
  const std::string uid = std::to_string(geteuid());
  struct stat found{};
  if (stat(("/run/user/" + uid).c_str(), &found) == 0 && S_ISDIR(found.st_mode))
    return "/run/user/" + uid + "/sidecall";
  return "/tmp/sidecall-" + uid;
}

}  // namespace

std::string socket_path(std::string_view address, bool* is_default) {
  *is_default = false;
  std::string path;
  if (!address.empty() && address[0] == '/') {
    path = decode_path(address);
  } else {
    if (!is_name(address))
      refuse(address, "expected a path, or a name of 1 to 64 letters, digits, '.', '_' and '-'");
    *is_default = true;
    path = default_folder() + "/" + std::string(address) + ".sock";
  }
  if (path.size() >= sizeof(sockaddr_un::sun_path))
    refuse(address, "expected a path of at most 107 bytes");
  return path;
}

bool check_default_folder(const std::string& socket_path, bool make) {
  const std::string folder = socket_path.substr(0, socket_path.rfind('/'));
  if (make && mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
    system_failure(SIDECALL_UNREACHABLE, "the folder for sockets cannot be made", errno);
  struct stat found{};
  if (lstat(folder.c_str(), &found) != 0) {
    if (!make && (errno == ENOENT || errno == ENOTDIR)) return false;
    system_failure(SIDECALL_DENIED, "the folder for sockets cannot be looked at", errno);
  }
  if (!S_ISDIR(found.st_mode))
    throw Error(SIDECALL_DENIED,
                "the folder for sockets: expected a real folder, got something else of that name");
  if (found.st_uid != geteuid())
    throw Error(SIDECALL_DENIED,
                "the folder for sockets: expected one of this user, got one of another");
  if ((found.st_mode & 022) != 0)
    throw Error(SIDECALL_DENIED,
                "the folder for sockets: expected one that only its user may change");
  return true;
}

Fd connect_to(const std::string& path, int* error_number) {
  Fd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) system_failure(SIDECALL_OUT_OF_MEMORY, "a socket cannot be made", errno);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    *error_number = errno;
    return Fd();
  }
  fcntl(fd.get(), F_SETFL, 0);  // make it blocking again: receive_soon waits inside recvmsg
  return fd;
}

}  // namespace sidecall::shm
