// Opens the sockets of a server; see loop.h.
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sidecall/sidecall.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "loop.h"
#include "net/common/error.h"

namespace sidecall::net {
namespace {

constexpr int kBacklog = 1024;

[[noreturn]] void fail(const std::string& label, int error) {
  const int32_t status = error == EADDRINUSE                 ? SIDECALL_BUSY
                         : error == EACCES || error == EPERM ? SIDECALL_DENIED
                         : error == EMFILE || error == ENFILE || error == ENOMEM
                             ? SIDECALL_OUT_OF_MEMORY
                             : SIDECALL_UNREACHABLE;
  const std::string expected =
      status == SIDECALL_BUSY ? "expected a free address, got one in use" : "cannot listen";
  throw Error(status, "at: " + label + ": " + expected + ": " + std::strerror(error));
}

// Whether an earlier entry of the list has the same IP address. The file of hosts may name it
// twice.
bool is_listed_before(const addrinfo* list, const addrinfo* entry) {
  for (; list != entry; list = list->ai_next) {
    if (list->ai_addrlen == entry->ai_addrlen &&
        std::memcmp(list->ai_addr, entry->ai_addr, entry->ai_addrlen) == 0)
      return true;
  }
  return false;
}

}  // namespace

Listener::Listener(const ServerAddress& address) {
  if (address.socket.empty()) listen_tcp(address);
  else listen_unix(address.socket);
  for (const Descriptor& socket : sockets_) {
    if (::listen(socket.get(), kBacklog) != 0) fail(address.label, errno);
  }
}

Listener::~Listener() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

void Listener::listen_tcp(const ServerAddress& address) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int code =
      getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &found);
  if (code != 0)
    throw Error(SIDECALL_UNREACHABLE, "at: " + address.label +
                                          ": expected a host of this machine, got one that cannot "
                                          "be resolved: " +
                                          gai_strerror(code));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> list(found, &freeaddrinfo);
  int problem = 0;
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    if (is_listed_before(found, each)) continue;
    const int error = listen_at(*each);
    // This machine may have no IPv6, although a name has such an address.
    if (error != 0 && error != EAFNOSUPPORT && error != EADDRNOTAVAIL) fail(address.label, error);
    if (error != 0) problem = error;
  }
  if (sockets_.empty()) fail(address.label, problem);
}

// Binds a socket to one IP address. Returns an errno.
int Listener::listen_at(const addrinfo& info) {
  Descriptor socket(::socket(info.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (socket.get() < 0) return errno;
  const auto set = [&](int level, int option, int value) {
    ::setsockopt(socket.get(), level, option, &value, sizeof value);
  };
  set(SOL_SOCKET, SO_REUSEADDR, 1);
  // Connections inherit these. A client may wait for days for a change of the health; if its host
  // is gone, its connection ends within 11 minutes.
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 600);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 15);
  set(IPPROTO_TCP, TCP_KEEPCNT, 4);
  sockaddr_storage at{};
  std::memcpy(&at, info.ai_addr, info.ai_addrlen);
  const bool is_ipv6 = info.ai_family == AF_INET6;
  in_port_t& port = is_ipv6 ? reinterpret_cast<sockaddr_in6&>(at).sin6_port
                            : reinterpret_cast<sockaddr_in&>(at).sin_port;
  // Port 0: the system chooses one at the first address, and the others get the same.
  if (port_ != 0) port = htons(static_cast<uint16_t>(port_));
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&at), info.ai_addrlen) != 0) return errno;
  socklen_t length = sizeof at;
  ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&at), &length);
  port_ = ntohs(port);
  sockets_.push_back(std::move(socket));
  return 0;
}

std::vector<int> Listener::fds() const {
  std::vector<int> all;
  for (const Descriptor& socket : sockets_) all.push_back(socket.get());
  return all;
}

void Listener::listen_unix(const std::string& path) {
  const std::string label = "unix:" + path;
  // The lock tells a socket of a server that runs from one that a server left behind.
  const std::string lock = path + ".lock";
  lock_ = Descriptor(::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (lock_.get() < 0) fail(label, errno);
  if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) fail(label, EADDRINUSE);
  struct stat status{};
  if (::lstat(path.c_str(), &status) == 0) {
    if (!S_ISSOCK(status.st_mode)) fail(label, EADDRINUSE);
    ::unlink(path.c_str());
  }
  Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (socket.get() < 0) fail(label, errno);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  // Only this user may connect. The file gets the mode that the socket has when it is bound.
  constexpr mode_t kOwnerOnly = 0600;
  ::fchmod(socket.get(), kOwnerOnly);
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    fail(label, errno);
  path_ = path;
  sockets_.push_back(std::move(socket));
}

}  // namespace sidecall::net
