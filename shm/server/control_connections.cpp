// A connection from HELLO to its end, as the control thread handles it, and the status of all
// connections.
#include <malloc.h>
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

// How long a connection may wait for memory that is being freed, how often it is tried again, and
// how many connections of one user may wait.
constexpr int64_t kMemoryWait = INT64_C(1000) * 1000 * 1000;
constexpr int64_t kMemoryInterval = 5 * 1000 * 1000;
constexpr int64_t kMaxShortOfMemory = 4;

// How often the control thread checks whether clients have received the files of their answers.
constexpr int64_t kReclaimInterval = 50 * 1000 * 1000;

// After freeing this much private memory, and at most this often, free memory is returned to the
// system.
constexpr uint64_t kMuchPrivate = UINT64_C(8) << 20;
constexpr int64_t kTrimInterval = INT64_C(1000) * 1000 * 1000;

}  // namespace

void Control::count_connection(const PeerCredentials& peer) {
  ++num_connections_;
  ++per_account_[peer.account];
}

void Control::uncount_connection(const PeerCredentials& peer) {
  --num_connections_;
  const auto found = per_account_.find(peer.account);
  if (found != per_account_.end() && --found->second == 0) per_account_.erase(found);
}

void Control::connect(HalfOpen half, const Grant& grant) {
  const auto draft = std::make_shared<Draft>();
  draft->id = next_id_++;
  draft->socket = std::move(half.socket);
  draft->peer = half.peer;
  draft->is_direct = half.is_direct;
  draft->grant = grant;
  draft->memory = Reservation(&budget_, draft->peer.uid);
  draft->deadline_ns = now_ns() + kMemoryWait;
  count_connection(draft->peer);
  draft->is_counted = true;
  advance(draft.get(), [&] {
    // Ask this before the attempt. If the last memory were freed between the two, the answer would
    // be false although a second attempt could succeed.
    const bool may_wait = may_wait_for_memory(*draft);
    if (reserve_memory(draft.get())) return make_connection(draft);
    if (!may_wait) return refuse_draft(draft.get(), SIDECALL_OUT_OF_MEMORY, draft->failure);
    short_of_memory_.push_back(draft);
  });
}

// Everything that is reserved for a connection: its segments, its socket, and the state of its
// slots.
uint64_t Control::memory_of(const Grant& grant) const {
  constexpr uint64_t kSlot = 512, kInput = 384, kOutput = 256;
  return grant.memory() + kConnectionBytes +
         grant.slots *
             (kSlot + kInput * service_.inputs.size() + kOutput * service_.outputs.size());
}

bool Control::reserve_memory(Draft* draft) {
  try {
    draft->memory.grow_to(memory_of(draft->grant));
    return true;
  } catch (const Error& error) {
    draft->failure = error.message;
    return false;
  }
}

// Whether it is worthwhile to wait. A client that replaces its connection by a larger one has just
// closed the old one, here or at another worker. The memory of the old one is soon free.
bool Control::may_wait_for_memory(const Draft& draft) const {
  if (num_dying_ == 0 && !budget_.is_shared()) return false;
  const auto of_user =
      std::count_if(short_of_memory_.begin(), short_of_memory_.end(),
                    [&](const auto& other) { return other->peer.uid == draft.peer.uid; });
  return of_user < kMaxShortOfMemory;
}

// Tries again to reserve memory for the connections that wait for it.
void Control::await_memory(int64_t now) {
  if (short_of_memory_.empty() || now < next_memory_check_ns_) return;
  next_memory_check_ns_ = now + kMemoryInterval;
  std::vector<std::shared_ptr<Draft>> waiting;
  waiting.swap(short_of_memory_);
  for (const std::shared_ptr<Draft>& draft : waiting) {
    advance(draft.get(), [&] {
      if (reserve_memory(draft.get())) return make_connection(draft);
      if (now >= draft->deadline_ns || is_draining_)
        return refuse_draft(draft.get(), SIDECALL_OUT_OF_MEMORY, draft->failure);
      short_of_memory_.push_back(draft);
    });
  }
}

void Control::make_connection(const std::shared_ptr<Draft>& draft) {
  if (draft->grant.memory() <= kLarge) {
    make_memory(draft.get());
    return finish_connect(draft.get());
  }
  std::deque<std::shared_ptr<Draft>>& queue = large_[draft->peer.uid];
  try {
    queue.push_back(draft);
  } catch (...) {
    if (queue.empty()) large_.erase(draft->peer.uid);
    throw;
  }
  if (queue.size() == 1) make_next_large(draft->peer.uid);
}

// Gives the first connection in the queue of a user to making_, which creates its memory. making_
// gets only one connection of each user at a time, so that no user waits for all connections of
// another.
void Control::make_next_large(uint32_t user) noexcept {
  const auto queue = large_.find(user);
  while (!queue->second.empty()) {
    const std::shared_ptr<Draft>& draft = queue->second.front();
    bool is_started = false;
    advance(draft.get(), [&] {
      making_.run([this, raw = draft.get()] {
        make_memory(raw);
        raw->is_made = true;
        tasks_.wake();
      });
      is_started = true;
    });
    if (is_started) return;  // finish_large() does the next step
    queue->second.pop_front();
  }
  large_.erase(queue);
}

// Completes the connections whose large memory has been created.
void Control::finish_large() noexcept {
  for (auto queue = large_.begin(); queue != large_.end();) {
    const uint32_t user = queue->first;
    Draft* const draft = queue->second.front().get();
    ++queue;  // now, because make_next_large() may erase the queue of this user
    if (!draft->is_made) continue;
    advance(draft, [&] { finish_connect(draft); });
    large_.find(user)->second.pop_front();
    make_next_large(user);
  }
}

// Makes one step with a connection that was granted. If the step fails, for example because memory
// is exhausted, the connection is refused.
template <typename Step>
void Control::advance(Draft* draft, const Step& step) noexcept {
  try {
    step();
  } catch (const std::exception& error) {
    log_.run_logging_errors([&] { refuse_draft(draft, SIDECALL_OUT_OF_MEMORY, error.what()); });
  }
}

void Control::make_memory(Draft* draft) noexcept {
  try {
    draft->connection =
        std::make_unique<ServerConnection>(draft->id, draft->socket.fd(), draft->peer, draft->grant,
                                           context_, std::move(draft->memory));
  } catch (const std::exception& error) {
    draft->failure = error.what();
  }
}

void Control::refuse_draft(Draft* draft, int32_t status, const std::string& text) {
  if (std::exchange(draft->is_counted, false)) uncount_connection(draft->peer);
  draft->connection.reset();
  refuse(std::move(draft->socket), draft->peer, status, text);
}

void Control::finish_connect(Draft* draft) {
  if (is_drained(draft->is_direct))
    return refuse_draft(draft, SIDECALL_UNREACHABLE, "the server is shutting down");
  if (!draft->connection) return refuse_draft(draft, SIDECALL_OUT_OF_MEMORY, draft->failure);
  ServerConnection* const connection = draft->connection.get();
  connection->is_direct = draft->is_direct;
  try {
    // epoll always reports EPOLLHUP. Data on the socket is read by the engine thread, so EPOLLIN is
    // not requested.
    poller_.watch(draft->socket.fd(), EPOLLRDHUP, Source::kConnection, draft->id);
    if (connection->pidfd() >= 0)
      poller_.watch(connection->pidfd(), EPOLLIN, Source::kConnection, draft->id);
  } catch (const Error& error) {
    return refuse_draft(draft, error.status, error.message);
  }
  if (!connection->welcome(std::move(draft->socket), welcome_, own_pidfd_.get())) {
    draft->connection.reset();
    draft->is_counted = false;
    return uncount_connection(draft->peer);
  }
  fault_point("server.welcome");
  log_.log(LogLevel::kDebug, "connection.opened", [&](Facts& facts) {
    facts.number("connection", draft->id)
        .number("uid", uint64_t{draft->peer.uid})
        .number("process", int64_t{draft->peer.pid})
        .number("bytes", connection->bytes());
  });
  EngineThread* const engine = engines_.least_loaded();
  {
    const std::lock_guard<std::mutex> lock(registry_mutex_);
    registry_.emplace(draft->id, Registered{std::move(draft->connection), engine});
  }
  engine->add(connection);
}

void Control::handle_death(uint64_t id) {
  const auto found = registry_.find(id);
  if (found == registry_.end()) return;
  if (std::exchange(found->second.is_dying, true)) return;
  ++num_dying_;
  ServerConnection* const connection = found->second.connection.get();
  poller_.unwatch(connection->fd());
  poller_.unwatch(connection->pidfd());
  found->second.engine->drop(connection);
}

void Control::retire(ServerConnection* connection) noexcept {
  {
    const std::lock_guard<std::mutex> lock(retired_mutex_);
    connection->next_retired = std::exchange(retired_, connection);
  }
  tasks_.wake();
}

void Control::reap_retired() noexcept {
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
    log_.run_logging_errors([&] { free_connection(connection); });
  }
}

void Control::free_connection(ServerConnection* retired) {
  uncount_connection(retired->peer());
  std::unique_ptr<ServerConnection> connection;
  {
    const std::lock_guard<std::mutex> lock(registry_mutex_);
    const auto found = registry_.find(retired->id());
    if (!found->second.is_dying) ++num_dying_;
    connection = std::move(found->second.connection);
    registry_.erase(found);
  }
  poller_.unwatch(connection->fd());
  poller_.unwatch(connection->pidfd());
  const auto freed = std::shared_ptr<void>(nullptr, [this](void*) { --num_dying_; });
  if (connection->held_bytes() <= kLarge && !connection->has_sessions()) return;
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
void Control::return_free_memory() noexcept {
  const int64_t now = now_ns();
  if (now - trimmed_ns_ < kTrimInterval) return;
  trimmed_ns_ = now;
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
}

// Checks at intervals, because no event tells when a client receives a message.
void Control::reclaim_one_shots(int64_t now) {
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

void Control::log_end(const ServerConnection& connection) noexcept {
  const bool is_violation = connection.ending == Ending::kViolation;
  const bool is_usual = connection.ending == Ending::kGone || connection.ending == Ending::kDrained;
  log_.log(
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

Status Control::count() const {
  Status status;
  status.name = service_.name;
  status.version = service_.version;
  status.model_id = service_.model_id;
  status.instance = instance_;
  status.process = getpid();
  status.uptime_ns = now_ns() - started_ns_;
  status.is_ready = is_ready_ && !is_stalled();
  status.is_draining = is_drained(false);
  status.is_verified = service_.is_verified;
  status.half_open = num_half_open_ + num_waiting_;
  status.accepted = accepted_.value();
  status.refused = refused_.value();
  status.log_suppressed = log_.num_suppressed();
  status.log_dropped = log_.num_dropped();
  engines_.add_to(&status);
  const std::lock_guard<std::mutex> lock(registry_mutex_);
  status.connections = registry_.size();
  status.violations = violations_.value();
  status.closed = closed_.value();
  status.memory_bytes = budget_.held_here();
  status.memory_limit_bytes = options_.max_memory;
  for (const auto& entry : registry_) {
    const ServerConnection& connection = *entry.second.connection;
    status.bytes_mapped += connection.bytes();
    status.queued += connection.count_queued();
    status.clients.push_back(
        {connection.peer().pid, connection.peer().uid, connection.bytes(), connection.taken()});
  }
  return status;
}

}  // namespace sidecall::shm
