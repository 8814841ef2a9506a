// Waits for HELLO, and limits how many connections and how long; see half_open.h.
#include "half_open.h"

#include <sys/epoll.h>

#include <algorithm>
#include <string>
#include <utility>

#include "shm/common/fault.h"

namespace sidecall::shm {

HalfOpenConnections::HalfOpenConnections(const ServerOptions& options, EventLog* log,
                                         Poller* poller, SupervisorLink* supervisor,
                                         Refusals* refusals, HelloQueue* hellos)
    : admission_(options.allowed_uids, options.group),
      max_half_open_(options.max_half_open),
      hello_ns_(options.hello_ns),
      log_(log),
      poller_(poller),
      supervisor_(supervisor),
      refusals_(refusals),
      hellos_(hellos) {}

void HalfOpenConnections::add(uint64_t id, Socket socket, bool is_direct) {
  accepted_.add(1);
  const int fd = socket.fd();
  PeerCredentials peer = peer_credentials(fd);
  const bool is_admitted = admission_.admits(peer);
  // A worker gets those of its supervisor's process over the control socket.
  if (is_direct || supervisor_->is_from(peer)) peer.account = kFrontendAccount;
  connections_.emplace(
      id, HalfOpen{{std::move(socket), peer, is_direct}, is_admitted, now_ns() + hello_ns_});
  if (!read(id)) {
    make_room();
    if (connections_.count(id) > 0) poller_->watch(fd, EPOLLIN, Source::kHalfOpen, id);
  }
  count_ = connections_.size();
}

// Closes connections until few enough are left: first those of users who are not admitted, then the
// oldest one of the user who has the most, so that no user can displace others.
void HalfOpenConnections::make_room() {
  while (connections_.size() > max_half_open_) {
    auto victim = std::find_if(connections_.begin(), connections_.end(),
                               [](const auto& entry) { return !entry.second.is_admitted; });
    if (victim == connections_.end()) {
      std::map<uint32_t, size_t> counts;
      for (const auto& [id, half] : connections_) ++counts[half.accepted.peer.account];
      const auto most = std::max_element(
          counts.rbegin(), counts.rend(),
          [](const auto& one, const auto& other) { return one.second < other.second; });
      victim = std::find_if(connections_.begin(), connections_.end(), [&](const auto& entry) {
        return entry.second.accepted.peer.account == most->first;
      });
    }
    const uint64_t id = victim->first;
    if (read(id)) continue;  // its HELLO had arrived
    drop(victim);
  }
}

void HalfOpenConnections::expire(int64_t now) noexcept {
  while (!connections_.empty() && connections_.begin()->second.deadline_ns <= now)
    drop(connections_.begin());
  count_ = connections_.size();
}

int64_t HalfOpenConnections::deadline_ns() const noexcept {
  return connections_.empty() ? INT64_MAX : connections_.begin()->second.deadline_ns;
}

void HalfOpenConnections::drop(Map::iterator one) noexcept {
  const uint32_t user = one->second.accepted.peer.uid;
  log_->log(
      LogLevel::kWarning, "connection.silent",
      [&](Facts& facts) { facts.number("uid", uint64_t{user}); }, user);
  connections_.erase(one);
  supervisor_->send_load_again();
}

bool HalfOpenConnections::read(uint64_t id) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return true;
  char buffer[256];
  const Received received = found->second.accepted.socket.receive(buffer, sizeof(buffer));
  if (received.kind == Received::kNothing) return false;
  HalfOpen half = std::move(found->second);
  const PeerCredentials& peer = half.accepted.peer;
  poller_->unwatch(half.accepted.socket.fd());
  connections_.erase(found);
  count_ = connections_.size();
  supervisor_->send_load_again();  // it has counted this connection, even if it ends now
  if (received.kind == Received::kEnd) return true;
  fault_point("server.hello");
  if (received.num_fds > 0 || received.is_cut || !is_hello(buffer, received.bytes)) {
    violations_.add(1);
    log_->log(
        LogLevel::kWarning, "connection.violation",
        [&](Facts& facts) {
          facts.number("uid", uint64_t{peer.uid}).text("message", "expected HELLO");
        },
        peer.uid);
    return true;
  }
  if (!half.is_admitted) {
    const std::string text = "user " + std::to_string(peer.uid) + " is not admitted";
    refusals_->refuse(std::move(half.accepted), SIDECALL_DENIED, text);
    return true;
  }
  hellos_->add({std::move(half.accepted), std::string(buffer, received.bytes)});
  return true;
}

void HalfOpenConnections::close() noexcept {
  connections_.clear();
  count_ = 0;
}

}  // namespace sidecall::shm
