// Reports the state of this process to the service manager that started it, in systemd's notify
// protocol (man sd_notify): one datagram of NAME=VALUE lines to the socket in $NOTIFY_SOCKET. Used
// by `sidecall serve`; sidecall/serving/service_manager.py does the same for Python.
#pragma once

#include <cstdint>
#include <string>

namespace sidecall::cli {

// If no service manager started this process, send() does nothing.
class ServiceManager {
 public:
  // Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. `is_service`: false for a process that
  // inherited these variables from the service, and is not the service itself.
  // The socket to the manager stays open until close().
  explicit ServiceManager(bool is_service);
  ~ServiceManager();
  ServiceManager(const ServiceManager&) = delete;
  ServiceManager& operator=(const ServiceManager&) = delete;

  // Sends lines such as "READY=1". Waits at most a second for a manager that does not read. A
  // failure is ignored: the manager notices by itself that it got nothing.
  void send(const std::string& lines) const;

  // Later messages are not sent. A sandbox needs it: through such a socket a process could write to
  // any other local datagram socket.
  void close();

  // How often the manager expects WATCHDOG=1: half of the time after which it restarts this
  // process. -1 if the manager does not expect WATCHDOG=1.
  int64_t keep_alive_ns() const { return keep_alive_ns_; }

 private:
  int socket_ = -1;  // -1 without a manager
  int64_t keep_alive_ns_ = -1;
};

}  // namespace sidecall::cli
