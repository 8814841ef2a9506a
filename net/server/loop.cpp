// Accepts connections and serves them; see loop.h.
#include "loop.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sidecall/sidecall.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <utility>

#include "net/common/error.h"

namespace sidecall::net {
namespace {

constexpr int kTickMs = 1000;
constexpr int kDrainTickMs = 20;

// Who counts as one client: an IP address, or for IPv6 the network /64 of the address, of which one
// host may use any address. "" for a Unix socket.
std::string client_of(const sockaddr_storage& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.ss_family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(address).sin_addr, text.data(),
              text.size());
    return text.data();
  }
  if (address.ss_family != AF_INET6) return "";
  in6_addr ip = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  const bool is_whole = IN6_IS_ADDR_V4MAPPED(&ip) || IN6_IS_ADDR_LINKLOCAL(&ip);
  if (!is_whole) std::fill(std::begin(ip.s6_addr) + 8, std::end(ip.s6_addr), uint8_t{0});
  inet_ntop(AF_INET6, &ip, text.data(), text.size());
  return std::string(text.data()) + (is_whole ? "" : "/64");
}

}  // namespace

class Loop::Accept final : public Watched {
 public:
  Accept(Loop* loop, int listener) : fd(listener), loop_(loop) {}
  void on_events(uint32_t) override { loop_->accept_all(fd); }
  const int fd;

 private:
  Loop* const loop_;
};

class Loop::Wake final : public Watched {
 public:
  Wake() : fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (fd < 0) throw Error(SIDECALL_OUT_OF_MEMORY, "server: no descriptors are left");
  }
  ~Wake() override { ::close(fd); }
  void on_events(uint32_t) override {
    eventfd_t count = 0;
    eventfd_read(fd, &count);
  }
  const int fd;
};

Loop::Loop(Site* site, Shared* shared, const std::vector<int>& listeners)
    : site_(*site),
      shared_(*shared),
      router_(site, &poller_),
      tls_(site->address.is_secure ? make_tls_context(site->address) : nullptr),
      wake_(std::make_unique<Wake>()),
      checked_(Clock::now()) {
  poller_.add(wake_->fd, EPOLLIN, wake_.get());
  for (const int listener : listeners) {
    accepts_.push_back(std::make_unique<Accept>(this, listener));
    poller_.add(listener, EPOLLIN | EPOLLEXCLUSIVE, accepts_.back().get());
  }
}

Loop::~Loop() = default;

void Loop::wake() noexcept { eventfd_write(wake_->fd, 1); }

void Loop::run() noexcept {
  while (!shared_.should_stop.load(std::memory_order_acquire)) {
    try {
      poller_.poll(is_draining_ ? kDrainTickMs : clients_.empty() ? -1 : kTickMs);
      if (!is_draining_ && site_.is_draining.load(std::memory_order_acquire)) begin_drain();
      check_time();
      reap();
    } catch (const std::exception&) {
      // No memory is left; the next turn tries again.
    }
  }
  for (const Client& client : clients_) {
    if (!client.address.empty()) leave(client.address);
  }
  clients_.clear();
}

bool Loop::admit(const std::string& address) {
  const std::lock_guard lock(shared_.mutex);
  int& count = shared_.clients[address];
  if (count >= site_.options.max_connections_per_client) return false;
  ++count;
  return true;
}

void Loop::leave(const std::string& address) {
  const std::lock_guard lock(shared_.mutex);
  const auto found = shared_.clients.find(address);
  if (found != shared_.clients.end() && --found->second == 0) shared_.clients.erase(found);
}

void Loop::accept_all(int listener) {
  for (;;) {
    sockaddr_storage from{};
    socklen_t length = sizeof from;
    const int fd = ::accept4(listener, reinterpret_cast<sockaddr*>(&from), &length,
                             SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
      // Without a free descriptor the connection stays in the queue, and the event comes again.
      if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) ::usleep(1000);
      return;
    }
    try {
      add_client(fd, client_of(from));
    } catch (const std::exception&) {
      site_.metrics.refused.fetch_add(1, std::memory_order_relaxed);  // no memory is left
    }
  }
}

// Takes ownership of the descriptor, also on failure.
void Loop::add_client(int fd, const std::string& address) {
  Descriptor owner(fd);
  const bool is_full =
      site_.metrics.connections.load(std::memory_order_relaxed) >= site_.options.max_connections;
  if (is_full || (!address.empty() && !admit(address))) {
    site_.metrics.refused.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  try {
    Client client;
    client.address = address;
    auto stream = tls_ == nullptr ? make_plain_stream(fd) : tls_->make_stream(fd);
    client.connection = std::make_unique<Connection>(std::move(owner), std::move(stream), &poller_,
                                                     &router_, &site_);
    client.connection->start();
    clients_.push_back(std::move(client));
  } catch (...) {
    if (!address.empty()) leave(address);
    throw;
  }
  site_.metrics.accepted.fetch_add(1, std::memory_order_relaxed);
}

void Loop::begin_drain() {
  // Clients that are connected already, but not accepted yet, are served. Further ones are refused
  // by the system.
  for (const auto& accept : accepts_) {
    accept_all(accept->fd);
    poller_.remove(accept->fd);
    ::shutdown(accept->fd, SHUT_RDWR);
  }
  is_draining_ = true;
}

void Loop::check_time() {
  const Clock::time_point now = Clock::now();
  if (is_draining_) {
    for (const Client& client : clients_) client.connection->drain(now);
  }
  if (now - checked_ < std::chrono::milliseconds(kTickMs)) return;
  checked_ = now;
  for (const Client& client : clients_) client.connection->check_time(now);
}

// Forgets connections that are closed.
void Loop::reap() {
  bool is_busy = false;
  const Clock::time_point now = Clock::now();
  for (size_t i = 0; i < clients_.size();) {
    Client& client = clients_[i];
    is_busy = is_busy || client.connection->is_busy(now);
    if (!client.connection->is_closed()) {
      ++i;
      continue;
    }
    if (!client.address.empty()) leave(client.address);
    client.connection.reset();  // between two turns, so no event can be on its way to it
    std::swap(client, clients_.back());
    clients_.pop_back();
  }
  if (!is_draining_ || is_reported_ || is_busy) return;
  is_reported_ = true;
  const std::lock_guard lock(shared_.mutex);
  --shared_.num_draining;
  shared_.changed.notify_all();
}

}  // namespace sidecall::net
