// A connection from HELLO to its end, as the control thread handles it, and the status of all
// connections.
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "control.h"
#include "shm/common/error.h"
#include "shm/common/fault.h"

namespace sidecall::shm {

namespace {

// Larger memory is created and freed on another thread, so that other connections do not wait for
// it.
constexpr uint64_t kLarge = UINT64_C(1) << 20;

}  // namespace

void Control::reserve(const PeerCredentials& peer, uint64_t memory) {
  ++num_connections_;
  ++per_user_[peer.uid];
  memory_.fetch_add(memory, std::memory_order_relaxed);
}

void Control::give_back(const PeerCredentials& peer, uint64_t memory) {
  --num_connections_;
  memory_.fetch_sub(memory, std::memory_order_relaxed);
  const auto found = per_user_.find(peer.uid);
  if (found != per_user_.end() && --found->second == 0) per_user_.erase(found);
}

void Control::connect(Socket socket, const PeerCredentials& peer, const Grant& grant) {
  const auto draft = std::make_shared<Draft>();
  draft->id = next_id_++;
  draft->socket = std::move(socket);
  draft->peer = peer;
  draft->grant = grant;
  reserve(peer, grant.memory());
  if (grant.memory() <= kLarge) {
    make_memory(draft.get());
    return finish_connect(draft.get());
  }
  making_.run([this, draft] {
    make_memory(draft.get());
    post([this, draft] { finish_connect(draft.get()); });
  });
}

void Control::make_memory(Draft* draft) noexcept {
  try {
    draft->connection = std::make_unique<ServerConnection>(draft->id, draft->socket.fd(),
                                                           draft->peer, draft->grant, context_);
  } catch (const std::exception& error) {
    draft->failure = error.what();
  }
}

void Control::finish_connect(Draft* draft) {
  const uint64_t memory = draft->grant.memory();
  const auto fail = [&](int32_t status, const std::string& text) {
    give_back(draft->peer, memory);
    refuse(std::move(draft->socket), draft->peer, status, text);
  };
  if (is_draining_) return fail(SIDECALL_UNREACHABLE, "the server is shutting down");
  if (!draft->connection) return fail(SIDECALL_OUT_OF_MEMORY, draft->failure);
  ServerConnection* const connection = draft->connection.get();
  try {
    // epoll always reports EPOLLHUP. Data on the socket is read by the engine thread, so EPOLLIN is
    // not requested.
    watch(draft->socket.fd(), EPOLLRDHUP, Source::kConnection, draft->id);
    if (connection->pidfd() >= 0)
      watch(connection->pidfd(), EPOLLIN, Source::kConnection, draft->id);
  } catch (const Error& error) {
    return fail(error.status, error.message);
  }
  if (!connection->welcome(std::move(draft->socket), welcome_, own_pidfd_.get())) {
    draft->connection.reset();
    return give_back(draft->peer, memory);
  }
  fault_point("server.welcome");
  Facts facts;
  facts.number("connection", draft->id)
      .number("uid", uint64_t{draft->peer.uid})
      .number("process", int64_t{draft->peer.pid});
  log(LogLevel::kDebug, "connection.opened", std::move(facts.number("bytes", memory)));
  const auto engine = std::min_element(
      engines_.begin(), engines_.end(),
      [](const auto& a, const auto& b) { return a->num_connections() < b->num_connections(); });
  {
    const std::lock_guard<std::mutex> lock(registry_mutex_);
    registry_.emplace(draft->id, Registered{std::move(draft->connection), engine->get()});
  }
  (*engine)->add(connection);
}

void Control::handle_death(uint64_t id) {
  const auto found = registry_.find(id);
  if (found == registry_.end()) return;
  ServerConnection* const connection = found->second.connection.get();
  unwatch(connection->fd());
  unwatch(connection->pidfd());
  found->second.engine->drop(connection);
}

void Control::retire(ServerConnection* connection, Ending ending, const std::string& text) {
  {
    const std::lock_guard<std::mutex> lock(retired_mutex_);
    retired_.push_back({connection, ending, text});
  }
  wake();
}

void Control::reap_retired() {
  std::vector<Retired> retired;
  {
    const std::lock_guard<std::mutex> lock(retired_mutex_);
    retired.swap(retired_);
  }
  for (const Retired& one : retired) {
    // Update the counters first: a status that no longer shows the connection then already counts
    // its end and no longer counts its memory.
    log_end(*one.connection, one);
    give_back(one.connection->peer(), one.connection->bytes());
    std::unique_ptr<ServerConnection> connection;
    {
      const std::lock_guard<std::mutex> lock(registry_mutex_);
      const auto found = registry_.find(one.connection->id());
      connection = std::move(found->second.connection);
      registry_.erase(found);
    }
    unwatch(connection->fd());
    unwatch(connection->pidfd());
    if (connection->bytes() <= kLarge && !connection->has_sessions()) continue;
    connection->hang_up();
    freeing_.run([shared = std::shared_ptr<ServerConnection>(std::move(connection))]() mutable {
      shared.reset();
    });
  }
}

void Control::log_end(const ServerConnection& connection, const Retired& retired) {
  closed_.add(1);
  const bool is_violation = retired.ending == Ending::kViolation;
  if (is_violation) violations_.add(1);
  Facts facts;
  facts.number("connection", connection.id()).number("uid", uint64_t{connection.peer().uid});
  facts.number("process", int64_t{connection.peer().pid}).number("calls", connection.taken());
  if (!retired.text.empty()) facts.text("message", retired.text);
  const bool is_usual = retired.ending == Ending::kGone || retired.ending == Ending::kDrained;
  log(is_usual ? LogLevel::kDebug : LogLevel::kWarning,
      is_violation ? "connection.violation"
      : is_usual   ? "connection.closed"
                   : "connection.failed",
      std::move(facts), connection.peer().uid);
}

Status Control::count() const {
  Status status;
  status.name = service_.name;
  status.version = service_.version;
  status.model_id = service_.model_id;
  status.instance = instance_;
  status.process = getpid();
  status.uptime_ns = now_ns() - started_ns_;
  status.is_ready = is_ready_;
  status.is_draining = is_draining_;
  status.is_verified = service_.is_verified;
  status.workers = engines_.size();
  status.half_open = num_half_open_;
  status.accepted = accepted_.value();
  status.refused = refused_.value();
  status.log_suppressed = log_.num_suppressed();
  status.log_dropped = log_.num_dropped();
  for (const auto& engine : engines_) {
    status.in_flight += engine->is_running() ? 1 : 0;
    status.add(engine->counters());
  }
  const std::lock_guard<std::mutex> lock(registry_mutex_);
  status.connections = registry_.size();
  status.violations = violations_.value();
  status.closed = closed_.value();
  status.bytes_mapped = memory_;
  for (const auto& entry : registry_) {
    const ServerConnection& connection = *entry.second.connection;
    status.queued += connection.count_queued();
    status.clients.push_back(
        {connection.peer().pid, connection.peer().uid, connection.bytes(), connection.taken()});
  }
  return status;
}

}  // namespace sidecall::shm
