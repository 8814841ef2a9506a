// Sends the datagrams of systemd's notify protocol; see service_manager.hpp.
#include "service_manager.hpp"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

namespace sidecall::cli {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// Returns -1 for text that is not a whole number above 0.
int64_t positive_number(const std::string& text) {
  int64_t number = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
  return read.ec == std::errc() && read.ptr == text.data() + text.size() && number > 0 ? number
                                                                                       : -1;
}

// A socket to a path, or to an abstract name after '@'. Returns -1 if it is not an address, or if
// nothing is there.
int connect_to(const std::string& address) {
  const bool is_address = address.size() > 1 && (address[0] == '/' || address[0] == '@');
  sockaddr_un to = {};
  if (!is_address || address.size() >= sizeof to.sun_path) return -1;
  to.sun_family = AF_UNIX;
  std::memcpy(to.sun_path, address.data(), address.size());
  if (address[0] == '@') to.sun_path[0] = '\0';
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.size());
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  const timeval second = {1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &second, sizeof second);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&to), length) == 0) return fd;
  ::close(fd);
  return -1;
}

}  // namespace

ServiceManager::ServiceManager(bool is_service) {
  if (is_service) socket_ = connect_to(variable("NOTIFY_SOCKET"));
  // A child process inherits WATCHDOG_USEC. If WATCHDOG_PID is set, only the process that it names
  // sends WATCHDOG=1.
  const std::string process = variable("WATCHDOG_PID");
  if (socket_ < 0 || (!process.empty() && process != std::to_string(::getpid()))) return;
  const int64_t limit_us = positive_number(variable("WATCHDOG_USEC"));
  if (limit_us > 0 && limit_us < INT64_MAX / 1000) keep_alive_ns_ = limit_us * 1000 / 2;
}

ServiceManager::~ServiceManager() { close(); }

void ServiceManager::close() {
  if (socket_ >= 0) ::close(std::exchange(socket_, -1));
}

void ServiceManager::send(const std::string& lines) const {
  if (socket_ >= 0) static_cast<void>(::send(socket_, lines.data(), lines.size(), MSG_NOSIGNAL));
}

}  // namespace sidecall::cli
