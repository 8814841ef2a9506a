// Finds the IP addresses of a name; see resolver.h.
#include "resolver.h"

#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <thread>
#include <utility>

#include "base/process/signals_blocked.h"

namespace sidecall::net {
namespace {

struct FreeAddresses {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};

std::vector<std::string> look_up(const std::string& name, size_t most) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* first = nullptr;
  if (getaddrinfo(name.c_str(), nullptr, &hints, &first) != 0) return {};
  const std::unique_ptr<addrinfo, FreeAddresses> list(first);
  std::vector<std::string> ips;
  for (const addrinfo* each = first; each != nullptr && ips.size() < most; each = each->ai_next) {
    char text[NI_MAXHOST];
    if (getnameinfo(each->ai_addr, each->ai_addrlen, text, sizeof text, nullptr, 0,
                    NI_NUMERICHOST) != 0)
      continue;
    std::string ip = each->ai_family == AF_INET6 ? "[" + std::string(text) + "]" : text;
    if (std::find(ips.begin(), ips.end(), ip) == ips.end()) ips.push_back(std::move(ip));
  }
  return ips;
}

}  // namespace

bool resolve(const std::string& name, size_t most,
             std::function<void(const std::vector<std::string>& ips)> done) {
  try {
    const SignalsBlocked blocked;
    std::thread([name, most, done = std::move(done)] {
      std::vector<std::string> ips;
      try {
        ips = look_up(name, most);
      } catch (const std::exception&) {
        ips.clear();
      }
      done(ips);
    }).detach();
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace sidecall::net
