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

}  // namespace

ServiceManager::ServiceManager(bool is_service)
    : address_(is_service ? variable("NOTIFY_SOCKET") : "") {
  const bool is_address = address_.size() > 1 && (address_[0] == '/' || address_[0] == '@');
  if (!is_address || address_.size() >= sizeof(sockaddr_un::sun_path)) address_.clear();
  // A child process inherits WATCHDOG_USEC. If WATCHDOG_PID is set, only the process that it names
  // sends WATCHDOG=1.
  const std::string process = variable("WATCHDOG_PID");
  if (address_.empty() || (!process.empty() && process != std::to_string(::getpid()))) return;
  const int64_t limit_us = positive_number(variable("WATCHDOG_USEC"));
  if (limit_us > 0 && limit_us < INT64_MAX / 1000) keep_alive_ns_ = limit_us * 1000 / 2;
}

void ServiceManager::send(const std::string& lines) const {
  if (address_.empty()) return;
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  const timeval second = {1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &second, sizeof second);
  sockaddr_un to = {};
  to.sun_family = AF_UNIX;
  std::memcpy(to.sun_path, address_.data(), address_.size());
  if (address_[0] == '@') to.sun_path[0] = '\0';  // an abstract name
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address_.size());
  static_cast<void>(::sendto(fd, lines.data(), lines.size(), MSG_NOSIGNAL,
                             reinterpret_cast<const sockaddr*>(&to), length));
  ::close(fd);
}

}  // namespace sidecall::cli
