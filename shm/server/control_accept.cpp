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

// The largest number of status requests of one user that may wait for an answer.
constexpr size_t kMaxStatusRequests = 32;

// For how long a server that has run out of descriptors stops accepting connections.
constexpr int64_t kPause = 50 * 1000 * 1000;

}  // namespace

void Control::accept_all(int listener) {
  for (int i = 0; i < kMaxAccepts; ++i) {
    const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd >= 0) {
      admit_socket({Socket(Fd(fd)), {}, false});
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
    refusals_.refuse({Socket(Fd(fd)), peer_credentials(fd), false}, SIDECALL_OUT_OF_MEMORY,
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
    poller_.change(listener.fd(), pause ? 0u : static_cast<uint32_t>(EPOLLIN), Source::kListener,
                   static_cast<uint64_t>(listener.fd()));
  }
}

// ---- Connections without HELLO ----

void Control::admit_socket(Accepted accepted) {
  accepted_.add(1);
  PeerCredentials& peer = accepted.peer;
  peer = peer_credentials(accepted.socket.fd());
  const bool is_admitted = admission_.admits(peer);
  // A worker gets those of its supervisor's process over the control socket.
  if (accepted.is_direct ||
      (control_ && peer.pid != 0 && peer.pid == peer_credentials(control_.fd()).pid))
    peer.account = kFrontAccount;
  const uint64_t id = next_id_++;
  const int fd = accepted.socket.fd();
  half_open_.emplace(id, HalfOpen{std::move(accepted), is_admitted, now_ns() + options_.hello_ns});
  if (!read_hello(id)) {
    make_room();
    if (half_open_.count(id) > 0) poller_.watch(fd, EPOLLIN, Source::kHalfOpen, id);
  }
  num_half_open_ = half_open_.size();
}

// Closes connections without HELLO until few enough are left: first those of users who are not
// admitted, then the oldest one of the user who has the most, so that no user can displace others.
void Control::make_room() {
  while (half_open_.size() > options_.max_half_open) {
    auto victim = std::find_if(half_open_.begin(), half_open_.end(),
                               [](const auto& entry) { return !entry.second.is_admitted; });
    if (victim == half_open_.end()) {
      std::map<uint32_t, size_t> counts;
      for (const auto& [id, half] : half_open_) ++counts[half.accepted.peer.account];
      const auto most = std::max_element(
          counts.rbegin(), counts.rend(),
          [](const auto& one, const auto& other) { return one.second < other.second; });
      victim = std::find_if(half_open_.begin(), half_open_.end(), [&](const auto& entry) {
        return entry.second.accepted.peer.account == most->first;
      });
    }
    const uint64_t id = victim->first;
    if (read_hello(id)) continue;  // its HELLO had arrived
    drop_silent(victim);
  }
}

void Control::expire_half_open(int64_t now) noexcept {
  while (!half_open_.empty() && half_open_.begin()->second.deadline_ns <= now) {
    drop_silent(half_open_.begin());
  }
  num_half_open_ = half_open_.size();
}

void Control::drop_silent(std::map<uint64_t, HalfOpen>::iterator one) noexcept {
  const uint32_t user = one->second.accepted.peer.uid;
  log_.log(
      LogLevel::kWarning, "connection.silent",
      [&](Facts& facts) { facts.number("uid", uint64_t{user}); }, user);
  half_open_.erase(one);
  sent_load_ = UINT64_MAX;
}

bool Control::read_hello(uint64_t id) {
  const auto found = half_open_.find(id);
  if (found == half_open_.end()) return true;
  char buffer[256];
  const Received received = found->second.accepted.socket.receive(buffer, sizeof(buffer));
  if (received.kind == Received::kNothing) return false;
  HalfOpen half = std::move(found->second);
  poller_.unwatch(half.accepted.socket.fd());
  half_open_.erase(found);
  num_half_open_ = half_open_.size();
  // Send the load again: the parent has counted this connection, even if it ends now.
  sent_load_ = UINT64_MAX;
  if (received.kind == Received::kEnd) return true;
  fault_point("server.hello");
  if (received.num_fds > 0 || received.is_cut || !is_hello(buffer, received.bytes)) {
    violations_.add(1);
    log_.log(
        LogLevel::kWarning, "connection.violation",
        [&](Facts& facts) {
          facts.number("uid", uint64_t{half.accepted.peer.uid}).text("message", "expected HELLO");
        },
        half.accepted.peer.uid);
    return true;
  }
  if (!half.is_admitted) {
    refusals_.refuse(std::move(half.accepted), SIDECALL_DENIED,
                     "user " + std::to_string(half.accepted.peer.uid) + " is not admitted");
    return true;
  }
  await_turn({std::move(half.accepted), std::string(buffer, received.bytes)});
  return true;
}

// ---- Connections with HELLO ----

// An answer may take long, because it may create memory. So connections are accepted first, which
// is quick, and then answered user by user. If one user opens very many connections, every other
// user waits for at most one of that user's answers before its own turn.
void Control::await_turn(Arrived arrived) {
  const bool is_status = asks_for_status(arrived.hello);
  const uint64_t key = uint64_t{arrived.accepted.peer.account} << 1 | (is_status ? 1 : 0);
  const size_t most = is_status ? kMaxStatusRequests : options_.max_connections_per_user;
  const auto queue = arrived_.find(key);
  if (queue != arrived_.end() && queue->second.size() >= most) {
    return refusals_.refuse(std::move(arrived.accepted), SIDECALL_BUSY,
                            "expected at most " + std::to_string(most) +
                                " connections of one user that wait for an answer, got one more");
  }
  arrived_[key].push_back(std::move(arrived));
  num_arriving_ += is_status ? 0 : 1;
  ++num_waiting_;
}

void Control::answer_arrived(int most) {
  for (int i = 0; i < most && !arrived_.empty(); ++i) {
    auto turn = arrived_.upper_bound(answered_);
    if (turn == arrived_.end()) turn = arrived_.begin();
    answered_ = turn->first;
    Arrived arrived = std::move(turn->second.front());
    turn->second.pop_front();
    if (turn->second.empty()) arrived_.erase(turn);
    num_arriving_ -= (answered_ & 1) != 0 ? 0 : 1;
    --num_waiting_;
    log_.run_logging_errors([&] { answer_hello(std::move(arrived)); });
    sent_load_ = UINT64_MAX;  // the parent has counted this connection, even if it is refused
  }
}

void Control::answer_hello(Arrived arrived) {
  Accepted& accepted = arrived.accepted;
  Grant grant;
  try {
    grant = parse_hello(arrived.hello.data(), arrived.hello.size(), limits_);
    if (grant.kind == kStatus) return send_status(&accepted.socket);
    if (drains(drain_, accepted.is_direct))
      throw Error(SIDECALL_UNREACHABLE, "the server is shutting down");
    if (grant.kind == kOpen) return introduction_.send_manifest(&accepted.socket);
    quotas_.check(accepted.peer);
  } catch (const Error& error) {
    return refusals_.refuse(std::move(accepted), error.status, error.message);
  }
  drafts_.add(next_id_++, std::move(accepted), grant);
}

void Control::send_status(Socket* socket) {
  const std::string json = status_answer(status(), options_);
  const Fd file = make_sealed_file(json);
  FileMessage message{};
  std::memcpy(message.magic, kMagic, sizeof(kMagic));
  message.version = kVersion;
  message.kind = kStatusAnswer;
  message.first = json.size();
  const int fd = file.get();
  socket->send(&message, sizeof(message), &fd, 1);
}

// ---- The control socket ----

// Sends the number of connections. A supervisor distributes new connections by it. If the message
// cannot be sent now, it is sent later.
void Control::send_load() noexcept {
  if (!control_ || sent_load_ == load()) return;
  unsigned char message[1 + sizeof(uint32_t)] = {kLoad};
  const auto connections = static_cast<uint32_t>(load());
  std::memcpy(message + 1, &connections, sizeof(connections));
  if (control_.send(message, sizeof(message)) == Sent::kDone) sent_load_ = connections;
}

void Control::read_control() {
  if (!control_) return;
  unsigned char buffer[sizeof(kMemory) + sizeof(uint32_t) + 1];
  Received received = control_.receive(buffer, sizeof(buffer));
  if (received.kind == Received::kNothing) return;
  if (received.kind == Received::kEnd) return begin_drain(Deadline::after(control_drain_ns_));
  const auto is = [&](uint8_t kind, size_t bytes, size_t fds) {
    return !received.is_cut && received.bytes == bytes && buffer[0] == kind &&
           received.num_fds == fds;
  };
  if (is(kAttach, 1, 1)) {
    try {
      return attach(std::move(received.fds[0]), false);
    } catch (...) {
      sent_load_ = UINT64_MAX;  // the parent has counted this connection
      throw;
    }
  }
  if (is(kMemory, 1 + sizeof(uint32_t), 2) && budget_.held_here() == 0) {
    uint32_t row = 0;
    std::memcpy(&row, buffer + 1, sizeof(row));
    return budget_.join(received.fds[0], std::move(received.fds[1]), row);
  }
  if (received.lacks_descriptors) {
    // The connection is lost, but the parent has counted it.
    sent_load_ = UINT64_MAX;
    return log_.log(LogLevel::kWarning, "control.exhausted", [](Facts& facts) {
      facts.text("message", "no descriptors are left for a connection: raise ulimit -n");
    });
  }
  log_.log(LogLevel::kWarning, "control.violation", [](Facts& facts) {
    facts.text("message",
               "expected ATTACH with one descriptor or, before the first connection, MEMORY with "
               "two");
  });
}

}  // namespace sidecall::shm
