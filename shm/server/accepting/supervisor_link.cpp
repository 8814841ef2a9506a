// Reads and sends the messages of the control socket (PROTOCOL.md); see supervisor_link.h.
#include "supervisor_link.h"

#include <sys/epoll.h>

#include <cstring>
#include <utility>

#include "shm/common/layout.h"

namespace sidecall::shm {

void SupervisorLink::set(Socket socket, int64_t drain_ns, bool accepts) {
  if (accepts) poller_->watch(socket.fd(), EPOLLIN | EPOLLRDHUP, Source::kSupervisor, 0);
  (accepts ? socket_ : held_) = std::move(socket);
  drain_ns_ = drain_ns;
}

bool SupervisorLink::watch_held() {
  if (!held_) return false;
  poller_->watch(held_.fd(), EPOLLIN | EPOLLRDHUP, Source::kSupervisor, 0);
  socket_ = std::move(held_);
  return true;
}

void SupervisorLink::close() noexcept {
  held_.close();
  if (socket_) poller_->unwatch(socket_.fd());
  socket_.close();
}

bool SupervisorLink::is_from(const PeerCredentials& peer) const {
  return socket_ && peer.pid != 0 && peer.pid == peer_credentials(socket_.fd()).pid;
}

void SupervisorLink::send_load(size_t load) noexcept {
  if (!must_send(load)) return;
  unsigned char message[1 + sizeof(uint32_t)] = {kLoad};
  const auto connections = static_cast<uint32_t>(load);
  std::memcpy(message + 1, &connections, sizeof(connections));
  if (socket_.send(message, sizeof(message)) == Sent::kDone) sent_load_ = connections;
}

SupervisorLink::Message SupervisorLink::read() {
  if (!socket_) return {};
  unsigned char buffer[sizeof(kMemory) + sizeof(uint32_t) + 1];
  Received received = socket_.receive(buffer, sizeof(buffer));
  if (received.kind == Received::kNothing) return {};
  if (received.kind == Received::kEnd) return {Message::kHungUp, {}};
  const auto is = [&](uint8_t kind, size_t bytes, size_t fds) {
    return !received.is_cut && received.bytes == bytes && buffer[0] == kind &&
           received.num_fds == fds;
  };
  if (is(kAttach, 1, 1)) return {Message::kConnection, std::move(received.fds[0])};
  if (is(kMemory, 1 + sizeof(uint32_t), 2) && budget_->held_here() == 0) {
    uint32_t row = 0;
    std::memcpy(&row, buffer + 1, sizeof(row));
    budget_->join(received.fds[0], std::move(received.fds[1]), row);
  } else if (received.lacks_descriptors) {
    send_load_again();  // the connection is lost, but the supervisor has counted it
    log_->log(LogLevel::kWarning, "control.exhausted", [](Facts& facts) {
      facts.text("message", "no descriptors are left for a connection: raise ulimit -n");
    });
  } else {
    log_->log(LogLevel::kWarning, "control.violation", [](Facts& facts) {
      facts.text("message",
                 "expected ATTACH with one descriptor or, before the first connection, MEMORY with "
                 "two");
    });
  }
  return {};
}

}  // namespace sidecall::shm
