// Finds the paths of sockets: the rules of PROTOCOL.md, section 1, for both ends.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/process/socket_folder.h"
#include "error.h"
#include "socket.h"

namespace sidecall::shm {
namespace {

[[noreturn]] void refuse(std::string_view address, const char* text) {
  throw Error(SIDECALL_INVALID_ARGUMENT, "address 'shm:" + std::string(address) + "': " + text);
}

std::string decode_path(std::string_view address) {
  const char* fault = nullptr;
  const std::string path = decode_socket_path(address, &fault);
  if (fault != nullptr) refuse(address, fault);
  return path;
}

bool is_name(std::string_view name) {
  if (name.empty() || name.size() > 64 || name[0] == '.') return false;
  for (const char c : name)
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
          c == '_' || c == '-'))
      return false;
  return true;
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
    path = socket_folder() + "/" + std::string(address) + ".sock";
  }
  if (path.size() >= sizeof(sockaddr_un::sun_path))
    refuse(address, "expected a path of at most 107 bytes");
  return path;
}

bool check_default_folder(const std::string& socket_path, bool make) {
  const std::string folder = socket_path.substr(0, socket_path.rfind('/'));
  if (make && mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
    system_failure(SIDECALL_UNREACHABLE, "cannot create the folder for sockets", errno);
  int error_number = 0;
  const char* fault = socket_folder_fault(folder, &error_number);
  if (error_number != 0) {
    if (!make && (error_number == ENOENT || error_number == ENOTDIR)) return false;
    system_failure(SIDECALL_DENIED, "cannot examine the folder for sockets", error_number);
  }
  if (fault != nullptr)
    throw Error(SIDECALL_DENIED, std::string("the folder for sockets: ") + fault);
  return true;
}

Fd connect_to(const std::string& path, int* error_number) {
  Fd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) system_failure(SIDECALL_OUT_OF_MEMORY, "cannot create a socket", errno);
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
