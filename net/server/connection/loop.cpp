// Accepts connections and serves them; see loop.h.
#include "loop.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sidecall/sidecall.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <exception>
#include <utility>

#include "base/json/json_text.h"
#include "net/common/error.h"

namespace sidecall::net {
namespace {

constexpr int kTickMs = 1000;
constexpr int kDrainTickMs = 20;
constexpr int kPauseMs = 50;
// After this time with enough descriptors, the next lack of them is logged again.
constexpr auto kCalm = std::chrono::seconds(10);

// The first descriptor that is reserved for runs and the rest of the process: connections use only
// lower ones. The system gives the lowest free number, so if it gives this one, all lower ones are
// in use.
int first_reserved_descriptor() {
  constexpr rlim_t kMostReserved = 64;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > INT_MAX) return INT_MAX;
  return static_cast<int>(limit.rlim_cur - std::min(kMostReserved, limit.rlim_cur / 4));
}

// The key by which the connections of one client are counted: its IP address, or for IPv6 the /64
// network, because one host may use all addresses of it. "" for a Unix socket.
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

Loop::Loop(ServerContext* server, Shared* shared, const std::vector<int>& listeners)
    : server_(*server),
      shared_(*shared),
      router_(server, &poller_),
      handshakes_(server->tls == nullptr
                      ? nullptr
                      : std::make_unique<Handshakes>(&poller_, &server->handshakers)),
      wake_(std::make_unique<Wake>()),
      checked_(Clock::now()),
      first_reserved_(first_reserved_descriptor()) {
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
      poller_.poll(timeout_ms());
      if (is_paused_) resume_accepting();
      if (!is_draining_ && server_.is_draining.load(std::memory_order_acquire)) begin_drain();
      check_time();
      reap();
    } catch (const std::exception&) {
      // No memory is left; the next turn tries again.
    }
  }
  for (const Client& client : clients_) {
    if (!client.address.empty()) leave(client.address);
  }
  if (handshakes_ != nullptr) handshakes_->stop();
  clients_.clear();
}

bool Loop::admit(const std::string& address) {
  const std::lock_guard lock(shared_.mutex);
  int& count = shared_.clients[address];
  if (count >= server_.options.max_connections_per_client) return false;
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
      const bool is_scarce =
          errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS;
      if (!is_scarce) return;
      // The connection stays in the queue, and the event comes again: after this turn, in which the
      // descriptor of an idle connection is freed, or after a pause.
      note_exhausted();
      if (!make_room()) pause_accepting();
      return;
    }
    if (fd >= first_reserved_) {
      note_exhausted();
      if (!make_room()) {
        ::close(fd);
        server_.metrics.refused.fetch_add(1, std::memory_order_relaxed);
        continue;
      }
    }
    try {
      add_client(fd, client_of(from));
    } catch (const std::exception&) {
      server_.metrics.refused.fetch_add(1, std::memory_order_relaxed);  // no memory is left
    }
  }
}

// Takes ownership of the descriptor, also on failure.
void Loop::add_client(int fd, const std::string& address) {
  Descriptor owner(fd);
  const bool is_full = server_.metrics.connections.load(std::memory_order_relaxed) >=
                       server_.options.max_connections;
  if (is_full || (!address.empty() && !admit(address))) {
    server_.metrics.refused.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  try {
    Client client;
    client.address = address;
    auto stream = server_.tls == nullptr ? make_plain_stream(fd) : server_.tls->make_stream(fd);
    client.connection = std::make_unique<Connection>(std::move(owner), std::move(stream), &poller_,
                                                     handshakes_.get(), &router_, &server_);
    client.connection->start();
    clients_.push_back(std::move(client));
  } catch (...) {
    if (!address.empty()) leave(address);
    throw;
  }
  server_.metrics.accepted.fetch_add(1, std::memory_order_relaxed);
}

Connection* Loop::oldest_idle() const {
  Connection* oldest = nullptr;
  for (const Client& client : clients_) {
    Connection* const each = client.connection.get();
    if (each->is_idle() && (oldest == nullptr || each->idle_since() < oldest->idle_since()))
      oldest = each;
  }
  return oldest;
}

// Closes the connection that has been idle for longest; reap() frees its descriptor. Returns false
// if no connection is idle.
bool Loop::make_room() {
  for (size_t i = 0; i < clients_.size(); ++i) {
    Connection* const oldest = oldest_idle();
    if (oldest == nullptr) return false;
    if (oldest->has_input()) continue;  // a request that was not read yet
    oldest->close();
    return true;
  }
  return false;
}

// Logs that few descriptors are left, once until kCalm has passed.
void Loop::note_exhausted() {
  {
    const std::lock_guard lock(shared_.mutex);
    const Clock::time_point now = Clock::now();
    const bool is_known =
        shared_.exhausted != Clock::time_point() && now - shared_.exhausted < kCalm;
    shared_.exhausted = now;
    if (is_known) return;
  }
  constexpr int32_t kWarning = 2;
  std::string facts = "\"at\":";
  append_json_string(server_.label, &facts);
  facts.append(",\"connections\":");
  facts.append(std::to_string(server_.metrics.connections.load(std::memory_order_relaxed)));
  facts.append(
      ",\"message\":\"few descriptors are left, so idle connections are closed for new ones: raise "
      "ulimit -n\"");
  server_.service.log(server_.service.context, kWarning, "server.exhausted", facts.c_str());
}

// Stops watching the listeners: they stay readable, so the loop would never sleep.
void Loop::pause_accepting() noexcept {
  for (const auto& accept : accepts_) poller_.remove(accept->fd);
  is_paused_ = true;
}

// Throws OUT_OF_MEMORY; then the next turn tries again.
void Loop::resume_accepting() {
  for (const auto& accept : accepts_) {
    poller_.remove(accept->fd);
    poller_.add(accept->fd, EPOLLIN | EPOLLEXCLUSIVE, accept.get());
  }
  is_paused_ = false;
}

int Loop::timeout_ms() const {
  if (is_draining_) return kDrainTickMs;
  if (is_paused_) return kPauseMs;
  return clients_.empty() ? -1 : kTickMs;
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
  is_paused_ = false;  // nothing is accepted any more
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
    client.connection.reset();  // safe: no events are being handled between two turns
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
