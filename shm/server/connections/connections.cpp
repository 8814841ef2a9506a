// Registers, watches and frees connections; see connections.h.
#include "connections.h"

#include <malloc.h>
#include <sys/epoll.h>

#include <utility>

namespace sidecall::shm {

namespace {

// How often the control thread checks whether clients have received the files of their answers.
constexpr int64_t kReclaimInterval = 50 * 1000 * 1000;

// After freeing this much private memory, and at most this often, free memory is returned to the
// system.
constexpr uint64_t kMuchPrivate = UINT64_C(8) << 20;
constexpr int64_t kTrimInterval = INT64_C(1000) * 1000 * 1000;

}  // namespace

void Connections::watch(uint64_t id, int socket, int pidfd) {
  // epoll always reports EPOLLHUP. Data on the socket is read by the engine thread, so EPOLLIN is
  // not requested.
  poller_->watch(socket, EPOLLRDHUP, Source::kConnection, id);
  if (pidfd >= 0) poller_->watch(pidfd, EPOLLIN, Source::kConnection, id);
}

void Connections::add(std::unique_ptr<ServerConnection> connection) {
  ServerConnection* const added = connection.get();
  log_->log(LogLevel::kDebug, "connection.opened", [&](Facts& facts) {
    facts.number("connection", added->id())
        .number("uid", uint64_t{added->peer().uid})
        .number("process", int64_t{added->peer().pid})
        .number("bytes", added->bytes());
  });
  EngineThread* const engine = engines_->least_loaded();
  {
    const std::lock_guard<std::mutex> lock(registry_mutex_);
    registry_.emplace(added->id(), Registered{std::move(connection), engine});
  }
  engine->add(added);
}

void Connections::handle_death(uint64_t id) {
  const auto found = registry_.find(id);
  if (found == registry_.end()) return;
  if (std::exchange(found->second.is_dying, true)) return;
  ++num_dying_;
  ServerConnection* const connection = found->second.connection.get();
  poller_->unwatch(connection->fd());
  poller_->unwatch(connection->pidfd());
  found->second.engine->drop(connection);
}

void Connections::retire(ServerConnection* connection) noexcept {
  {
    const std::lock_guard<std::mutex> lock(retired_mutex_);
    connection->next_retired = std::exchange(retired_, connection);
  }
  tasks_->wake();
}

void Connections::note_one_shot() noexcept {
  if (!has_one_shots_.exchange(true, std::memory_order_seq_cst)) tasks_->wake();
}

void Connections::reap_retired() noexcept {
  ServerConnection* last = nullptr;
  {
    const std::lock_guard<std::mutex> lock(retired_mutex_);
    last = std::exchange(retired_, nullptr);
  }
  // The list begins with the connection that was retired last. Reverse it.
  ServerConnection* next = nullptr;
  while (last != nullptr) {
    ServerConnection* const before = std::exchange(last->next_retired, next);
    next = std::exchange(last, before);
  }
  while (next != nullptr) {
    ServerConnection* const connection = std::exchange(next, next->next_retired);
    // Update the counters first: a status that no longer shows the connection then already counts
    // its end.
    closed_.add(1);
    if (connection->ending == Ending::kViolation) violations_.add(1);
    log_end(*connection);
    log_->run_logging_errors([&] { free_connection(connection); });
  }
}

void Connections::free_connection(ServerConnection* retired) {
  quotas_->remove(retired->peer());
  std::unique_ptr<ServerConnection> connection;
  {
    const std::lock_guard<std::mutex> lock(registry_mutex_);
    const auto found = registry_.find(retired->id());
    if (!found->second.is_dying) ++num_dying_;
    connection = std::move(found->second.connection);
    registry_.erase(found);
  }
  poller_->unwatch(connection->fd());
  poller_->unwatch(connection->pidfd());
  const auto freed = std::shared_ptr<void>(nullptr, [this](void*) { --num_dying_; });
  if (connection->held_bytes() <= kLargeMemory && !connection->has_sessions()) return;
  connection->hang_up();
  freeing_.run(
      [this, freed, shared = std::shared_ptr<ServerConnection>(std::move(connection))]() mutable {
        const uint64_t private_bytes = shared->held_bytes() - shared->bytes();
        shared.reset();
        if (private_bytes > kMuchPrivate) return_free_memory();
      });
}

// Makes the allocator return freed memory to the system, at most once a second. Otherwise it may
// keep that memory for later allocations of the thread that first allocated it.
void Connections::return_free_memory() noexcept {
  const int64_t now = now_ns();
  if (now - trimmed_ns_ < kTrimInterval) return;
  trimmed_ns_ = now;
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
}

// Checks at intervals, because no event tells when a client receives a message.
void Connections::reclaim_one_shots(int64_t now) {
  if (!has_one_shots_ || now < next_reclaim_ns_) return;
  has_one_shots_ = false;
  next_reclaim_ns_ = now + kReclaimInterval;
  bool is_unread = false;
  for (const auto& entry : registry_) {
    ServerConnection* const connection = entry.second.connection.get();
    connection->reclaim_one_shots();
    is_unread = is_unread || connection->has_one_shots();
  }
  if (is_unread) has_one_shots_ = true;
}

void Connections::log_end(const ServerConnection& connection) noexcept {
  const bool is_violation = connection.ending == Ending::kViolation;
  const bool is_usual = connection.ending == Ending::kGone || connection.ending == Ending::kDrained;
  log_->log(
      is_usual ? LogLevel::kDebug : LogLevel::kWarning,
      is_violation ? "connection.violation"
      : is_usual   ? "connection.closed"
                   : "connection.failed",
      [&](Facts& facts) {
        facts.number("connection", connection.id()).number("uid", uint64_t{connection.peer().uid});
        facts.number("process", int64_t{connection.peer().pid}).number("calls", connection.taken());
        if (connection.end_text[0] != '\0') facts.text("message", connection.end_text);
      },
      connection.peer().uid);
}

uint64_t Connections::count_queued() const noexcept {
  uint64_t queued = 0;
  for (const auto& entry : registry_) queued += entry.second.connection->count_queued();
  return queued;
}

void Connections::add_to(Status* status) const {
  const std::lock_guard<std::mutex> lock(registry_mutex_);
  status->connections = registry_.size();
  status->violations += violations_.value();
  status->closed = closed_.value();
  status->memory_bytes = budget_->held_here();
  for (const auto& entry : registry_) {
    const ServerConnection& connection = *entry.second.connection;
    status->bytes_mapped += connection.bytes();
    status->queued += connection.count_queued();
    status->clients.push_back(
        {connection.peer().pid, connection.peer().uid, connection.bytes(), connection.taken()});
  }
}

void Connections::close() noexcept {
  freeing_.finish();
  registry_.clear();
}

}  // namespace sidecall::shm
