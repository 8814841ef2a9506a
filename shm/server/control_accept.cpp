// Accepts connections, and reads and answers HELLO; part of the control thread.
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "control.h"
#include "shm/common/error.h"
#include "shm/common/fault.h"

namespace sidecall::shm {

namespace {

// How many connections of one listener are accepted before other events are handled.
constexpr int kMaxAccepts = 64;

// For how long a server that has run out of descriptors stops accepting connections.
constexpr int64_t kPause = 50 * 1000 * 1000;

}  // namespace

void Control::accept_all(int listener) {
  for (int i = 0; i < kMaxAccepts; ++i) {
    const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd >= 0) {
      admit_socket(Socket(Fd(fd)));
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      return accept_without_descriptors(listener);
    } else if (errno != EINTR && errno != ECONNABORTED) {
      return;
    }
  }
}

// Accepts one connection with the spare descriptor and refuses it, so that one client learns the
// reason. The other clients wait.
void Control::accept_without_descriptors(int listener) {
  spare_.reset();
  const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd >= 0) {
    Socket socket{Fd(fd)};
    refuse(std::move(socket), peer_credentials(fd), SIDECALL_OUT_OF_MEMORY,
           "the server has no file descriptors left");
  }
  spare_.reset(eventfd(0, EFD_CLOEXEC));
  pause_listeners(true);
}

void Control::pause_listeners(bool pause) {
  if (pause) paused_until_ns_ = now_ns() + kPause;
  if (is_paused_ == pause) return;
  is_paused_ = pause;
  for (const Listener& listener : listeners_) {
    epoll_event event{};
    event.events = pause ? 0u : static_cast<uint32_t>(EPOLLIN);
    event.data.u64 =
        static_cast<uint64_t>(Source::kListener) << 56 | static_cast<uint64_t>(listener.fd());
    epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, listener.fd(), &event);
  }
}

// ---- Connections without HELLO ----

void Control::admit_socket(Socket socket) {
  accepted_.add(1);
  const PeerCredentials peer = peer_credentials(socket.fd());
  const uint64_t id = next_id_++;
  const int fd = socket.fd();
  half_open_.emplace(
      id, HalfOpen{std::move(socket), peer, admission_.admits(peer), now_ns() + options_.hello_ns});
  if (!read_hello(id)) {
    make_room();
    if (half_open_.count(id) > 0) watch(fd, EPOLLIN, Source::kHalfOpen, id);
  }
  num_half_open_ = half_open_.size();
}

// Closes the oldest connections without HELLO until few enough are left. Connections of users who
// are not admitted go first, so that those users cannot displace others.
void Control::make_room() {
  while (half_open_.size() > options_.max_half_open) {
    auto oldest = std::find_if(half_open_.begin(), half_open_.end(),
                               [](const auto& entry) { return !entry.second.is_admitted; });
    if (oldest == half_open_.end()) oldest = half_open_.begin();
    const uint64_t id = oldest->first;
    if (read_hello(id)) continue;  // its HELLO had arrived
    log(LogLevel::kWarning, "connection.silent",
        std::move(Facts().number("uid", uint64_t{oldest->second.peer.uid})),
        oldest->second.peer.uid);
    half_open_.erase(id);
    sent_load_ = UINT64_MAX;
  }
}

void Control::expire_half_open(int64_t now) {
  while (!half_open_.empty() && half_open_.begin()->second.deadline_ns <= now) {
    const uint32_t user = half_open_.begin()->second.peer.uid;
    log(LogLevel::kWarning, "connection.silent", std::move(Facts().number("uid", uint64_t{user})),
        user);
    half_open_.erase(half_open_.begin());
    sent_load_ = UINT64_MAX;
  }
  num_half_open_ = half_open_.size();
}

bool Control::read_hello(uint64_t id) {
  const auto found = half_open_.find(id);
  if (found == half_open_.end()) return true;
  char buffer[256];
  const Received received = found->second.socket.receive(buffer, sizeof(buffer));
  if (received.kind == Received::kNothing) return false;
  HalfOpen half = std::move(found->second);
  unwatch(half.socket.fd());
  half_open_.erase(found);
  num_half_open_ = half_open_.size();
  // Send the load again: the parent has counted this connection, even if it ends now.
  sent_load_ = UINT64_MAX;
  if (received.kind == Received::kEnd) return true;
  fault_point("server.hello");
  if (received.num_fds > 0 || received.is_cut || !is_hello(buffer, received.bytes)) {
    violations_.add(1);
    log(LogLevel::kWarning, "connection.violation",
        std::move(Facts().number("uid", uint64_t{half.peer.uid}).text("message", "expected HELLO")),
        half.peer.uid);
    return true;
  }
  answer_hello(std::move(half.socket), half.peer, half.is_admitted, buffer, received.bytes);
  return true;
}

void Control::answer_hello(Socket socket, const PeerCredentials& peer, bool is_admitted,
                           const void* hello, size_t bytes) {
  if (!is_admitted) {
    return refuse(std::move(socket), peer, SIDECALL_DENIED,
                  "user " + std::to_string(peer.uid) + " is not admitted");
  }
  // The socket must survive a failure, because refuse() needs it. connect() takes it only if it
  // does not throw.
  try {
    const Grant grant = parse_hello(hello, bytes, limits_);
    if (grant.kind == kStatus) return send_status(&socket);
    if (is_draining_) throw Error(SIDECALL_UNREACHABLE, "the server is shutting down");
    if (grant.kind == kOpen) return send_manifest(&socket);
    check_quotas(peer, grant);
    connect(std::move(socket), peer, grant);
  } catch (const Error& error) {
    refuse(std::move(socket), peer, error.status, error.message);
  }
}

void Control::refuse(Socket socket, const PeerCredentials& peer, int32_t status,
                     const std::string& text) {
  refused_.add(1);
  shm::refuse(&socket, status, text);
  Facts facts;
  facts.number("uid", uint64_t{peer.uid})
      .number("process", int64_t{peer.pid})
      .number("status", int64_t{status})
      .text("message", text);
  log(LogLevel::kWarning, "connection.refused", std::move(facts), peer.uid);
}

void Control::send_manifest(Socket* socket) {
  Welcome message = welcome_;
  message.manifest_bytes =
      2 * sizeof(uint64_t) + service_.signature.size() + service_.contract.size();
  const int fds[] = {manifest_.get(), own_pidfd_.get()};
  socket->send(&message, sizeof(message), fds, own_pidfd_ ? 2 : 1);
}

void Control::send_status(Socket* socket) {
  const std::string json = status();
  const Fd file = make_sealed_file(json);
  FileMessage message{};
  std::memcpy(message.magic, kMagic, sizeof(kMagic));
  message.version = kVersion;
  message.kind = kStatusAnswer;
  message.first = json.size();
  const int fd = file.get();
  socket->send(&message, sizeof(message), &fd, 1);
}

void Control::check_quotas(const PeerCredentials& peer, const Grant& grant) const {
  if (num_connections_ >= options_.max_connections) {
    throw Error(SIDECALL_BUSY, "max_connections: expected at most " +
                                   std::to_string(options_.max_connections) +
                                   " connections, got one more");
  }
  const auto found = per_user_.find(peer.uid);
  if (found != per_user_.end() && found->second >= options_.max_connections_per_user) {
    throw Error(SIDECALL_BUSY, "max_connections_per_user: expected at most " +
                                   std::to_string(options_.max_connections_per_user) +
                                   " connections of one user, got one more");
  }
  const uint64_t used = memory_.load(std::memory_order_relaxed);
  if (used > options_.max_memory || grant.memory() > options_.max_memory - used) {
    throw Error(SIDECALL_OUT_OF_MEMORY, "max_memory_bytes: expected at most " +
                                            std::to_string(options_.max_memory) +
                                            " bytes in all connections, got more");
  }
}

// ---- The control socket ----

// Sends the number of connections. A supervisor distributes new connections by it. If the message
// cannot be sent now, it is sent later.
void Control::send_load() noexcept {
  if (!control_ || sent_load_ == num_connections_) return;
  unsigned char message[1 + sizeof(uint32_t)] = {kLoad};
  const auto load = static_cast<uint32_t>(num_connections_);
  std::memcpy(message + 1, &load, sizeof(load));
  if (control_.send(message, sizeof(message)) == Sent::kDone) sent_load_ = num_connections_;
}

void Control::read_control() {
  if (!control_) return;
  char buffer[2];
  Received received = control_.receive(buffer, sizeof(buffer));
  if (received.kind == Received::kNothing) return;
  if (received.kind == Received::kEnd) return begin_drain(Deadline::after(control_drain_ns_));
  if (received.bytes != 1 || static_cast<uint8_t>(buffer[0]) != kAttach || received.num_fds != 1 ||
      received.is_cut) {
    log(LogLevel::kWarning, "control.violation",
        std::move(Facts().text("message", "expected ATTACH with one descriptor")));
    return;
  }
  attach(std::move(received.fds[0]));
}

}  // namespace sidecall::shm
