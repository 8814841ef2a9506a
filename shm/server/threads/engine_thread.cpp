// The loop of an engine thread, and how the control thread gives it commands; see engine_thread.h.
#include "engine_thread.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <utility>

#include "shm/common/error.h"

namespace sidecall::shm {

namespace {

// How often a busy thread looks at the sockets of connections that are not active. This is the
// longest delay that the interval adds to their wake-up.
constexpr int64_t kCheckInterval = 50 * 1000;

// How often a busy thread with several clients yields its CPU if no client is known to run there.
constexpr int64_t kServerYieldInterval = 200 * 1000;

// How long a supervisor may take to kill this process because of a run that exceeds its limit.
constexpr int64_t kOverrunHold = 1000 * 1000 * 1000;

// A connection without requests for this long, while others are busy, is no longer polled.
constexpr int64_t kDeactivateAfter = 5 * 1000 * 1000;

}  // namespace

EngineThread::EngineThread(EngineOwner* owner, int32_t spin_us)
    : owner_(owner),
      spin_us_(spin_us),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      alarm_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;
  if (!epoll_ || !alarm_ || epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, alarm_.get(), &event) != 0) {
    system_failure(SIDECALL_OUT_OF_MEMORY, "cannot create an engine thread", errno);
  }
}

void EngineThread::start() { thread_ = std::thread(&EngineThread::run, this); }

// ---- Orders ----
//
// The control thread must be able to give orders when no memory is left. So an order is a flag, and
// the connections with orders form a linked list.

void EngineThread::add(ServerConnection* connection) noexcept {
  num_connections_.fetch_add(1, std::memory_order_relaxed);
  post([&] {
    connection->is_add_ordered = true;
    list(connection);
  });
}

void EngineThread::drop(ServerConnection* connection) noexcept {
  post([&] {
    connection->is_drop_ordered = true;
    list(connection);
  });
}

void EngineThread::drain(Drain which) noexcept {
  post([&] { drain_ordered_ = std::max(drain_ordered_, which); });
}

void EngineThread::stop() noexcept {
  if (!thread_.joinable()) return;
  post([&] { is_stop_ordered_ = true; });
  thread_.join();
}

// Appends a connection to the list of those with orders, unless it is there or was retired. The
// caller holds orders_mutex_.
void EngineThread::list(ServerConnection* connection) noexcept {
  if (connection->is_retired || std::exchange(connection->is_listed, true)) return;
  connection->next_ordered = nullptr;
  (last_ordered_ == nullptr ? first_ordered_ : last_ordered_->next_ordered) = connection;
  last_ordered_ = connection;
}

template <typename Note>
void EngineThread::post(const Note& note) noexcept {
  {
    const std::lock_guard<std::mutex> lock(orders_mutex_);
    note();
  }
  // Store the flag, then look for a sleeper. Partner: sleep() stores is_asleep_, then loads the
  // flag. Each side stores and then loads, so both need seq_cst.
  has_orders_.store(true, std::memory_order_seq_cst);
  if (is_asleep_.load(std::memory_order_seq_cst)) return wake();
  // The thread is awake, but a handler may run for long. If none runs at this moment, the loop or
  // the next tick() reads the orders.
  if (!watch_.hold()) return;
  read_orders();
  watch_.release();
}

void EngineThread::wake() noexcept {
  const uint64_t one = 1;
  // The write fails only if the counter is full, and then the event is already readable.
  [[maybe_unused]] const ssize_t written = write(alarm_.get(), &one, sizeof(one));
}

// Carries out all orders. Only an order to drop the connection whose request is in progress must
// wait until the request is answered. It stays in the list, and the next tick tries again.
void EngineThread::read_orders() noexcept {
  ServerConnection* next = nullptr;
  Drain drain_ordered = Drain::kNone;
  {
    const std::lock_guard<std::mutex> lock(orders_mutex_);
    next = std::exchange(first_ordered_, nullptr);
    last_ordered_ = nullptr;
    drain_ordered = std::exchange(drain_ordered_, Drain::kNone);
    is_stopping_ = is_stopping_ || is_stop_ordered_;
    has_orders_.store(false, std::memory_order_relaxed);
  }
  while (next != nullptr) {
    ServerConnection* const connection = next;
    bool is_add_ordered = false, is_drop_ordered = false;
    {
      const std::lock_guard<std::mutex> lock(orders_mutex_);
      next = connection->next_ordered;
      is_add_ordered = std::exchange(connection->is_add_ordered, false);
      is_drop_ordered = std::exchange(connection->is_drop_ordered, false);
      connection->is_listed = false;
    }
    // The connection may be freed as soon as it is retired.
    if (is_add_ordered && !add_now(connection)) continue;
    if (!is_drop_ordered || drop_now(connection)) continue;
    const std::lock_guard<std::mutex> lock(orders_mutex_);
    connection->is_drop_ordered = true;
    list(connection);
    has_orders_.store(true, std::memory_order_relaxed);
  }
  if (drain_ordered == Drain::kNone) return;
  draining_ = std::max(draining_, drain_ordered);
  drain_now();
}

// Returns false if the connection was retired immediately.
bool EngineThread::add_now(ServerConnection* connection) noexcept {
  try {
    if (all_.size() == all_.capacity()) {
      const size_t room = 2 * all_.size() + 8;
      active_.reserve(room);
      all_.reserve(room);
    }
  } catch (const std::exception& error) {
    num_connections_.fetch_sub(1, std::memory_order_relaxed);
    connection->set_end(Ending::kFailed, error.what());
    hand_back(connection);
    return false;
  }
  all_.push_back(connection);
  epoll_event event{};
  event.events = EPOLLIN | EPOLLRDHUP;
  event.data.ptr = connection;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, connection->fd(), &event) != 0) {
    retire(connection, Ending::kFailed, "cannot watch its socket");
    return false;
  }
  if (is_drained(*connection)) {
    retire(connection, Ending::kDrained);
    return false;
  }
  activate(connection);  // poll it: without an announced sleep the client does not ring
  return true;
}

// Returns false if the order must wait.
bool EngineThread::drop_now(ServerConnection* connection) noexcept {
  // Only the control thread, which then holds watch_, can get into this branch: the engine thread
  // itself reads no orders during a request.
  if (connection == running_) {
    watch_.interrupt(SIDECALL_PEER_DIED);
    return false;
  }
  retire(connection, Ending::kGone);
  return true;
}

void EngineThread::drain_now() noexcept {
  for (size_t i = all_.size(); i-- > 0;) {
    if (all_[i] != running_ && is_drained(*all_[i])) retire(all_[i], Ending::kDrained);
  }
}

bool EngineThread::is_drained(const ServerConnection& connection) const noexcept {
  return drains(draining_, connection.is_direct);
}

int64_t EngineThread::tick(int64_t now, int64_t max_run_ns, bool* has_overrun) noexcept {
  if (held_until_ns_ != 0) {
    *has_overrun = true;
    if (now < held_until_ns_) return overrun_ns_;
    held_until_ns_ = 0;
    watch_.release();
  }
  if (!watch_.hold()) return 0;
  if (const int32_t status = watch_.stop_status(); status != 0) watch_.interrupt(status);
  if (has_orders_.load(std::memory_order_relaxed)) read_orders();
  const int64_t began_ns = watch_.began_ns();
  *has_overrun = now - began_ns > max_run_ns;
  if (*has_overrun && began_ns != overrun_ns_) {
    running_->mark_overrun();
    overrun_ns_ = began_ns;
    held_until_ns_ = now + kOverrunHold;
  } else {
    watch_.release();
  }
  return began_ns;
}

void EngineThread::cut_off() noexcept {
  if (!watch_.hold()) return;
  watch_.interrupt(SIDECALL_UNREACHABLE);
  running_->hang_up();
  watch_.release();
}

// ---- The loop ----

void EngineThread::run() {
  pthread_setname_np(pthread_self(), "sidecall-engine");
  while (true) {
    if (has_orders_.load(std::memory_order_acquire)) read_orders();
    if (is_stopping_) return;
    if (!serve_active()) {
      idle();
      continue;
    }
    // Clients that the kernel moved to this CPU while this thread occupied it do not run, so they
    // cannot report their CPU. Yield now and then for them.
    if (has_near_ ||
        (active_.size() > 1 && last_work_ns_ - last_yield_ns_ > kServerYieldInterval)) {
      spin_policy_.yield_between_answers(last_work_ns_, spin_us_);
      last_yield_ns_ = last_work_ns_;
    }
    has_near_ = false;
    if (last_work_ns_ - last_poll_ns_ > kCheckInterval) check_clients(last_work_ns_);
  }
}

// Serves one request of each connection that has one.
bool EngineThread::serve_active() {
  bool has_worked = false;
  // Walk by index: the control thread may change active_ while a long handler runs.
  for (size_t i = 0; i < active_.size(); ++i) {
    ServerConnection* const connection = active_[i];
    if (connection == nullptr || !connection->has_request()) continue;
    serve(connection);
    has_worked = true;
  }
  if (has_gaps_) close_gaps();
  if (has_worked && is_idle_) {
    is_idle_ = false;
    spin_policy_.note(has_slept_ ? last_work_ns_ - idle_since_ns_ : 0);
  }
  return has_worked;
}

void EngineThread::serve(ServerConnection* connection) {
  running_ = connection;
  bool goes_on = false;
  try {
    goes_on = connection->serve(&watch_, &counters_, &clock_);
  } catch (const Error& error) {
    connection->set_end(error.status == SIDECALL_PROTOCOL ? Ending::kViolation : Ending::kFailed,
                        error.message.c_str());
  } catch (const std::exception& error) {
    connection->set_end(Ending::kFailed, error.what());
  }
  running_ = nullptr;
  if (connection->has_one_shots()) owner_->note_one_shot();
  last_work_ns_ = connection->last_ns;
  note_cpu(connection->peer_cpu);
  if (goes_on && is_drained(*connection)) retire(connection, Ending::kDrained);
  else if (!goes_on) retire(connection, connection->ending, connection->end_text);
}

void EngineThread::note_cpu(uint32_t cpu) noexcept {
  const bool is_peer_here = cpu != 0 && cpu == my_cpu();
  has_near_ = has_near_ || is_peer_here;
  if (is_peer_here && last_work_ns_ - last_far_ns_ <= SpinPolicy::kSpin) return;
  peer_cpu_ = cpu;
  if (!is_peer_here) last_far_ns_ = last_work_ns_;
}

void EngineThread::idle() {
  if (!is_idle_) {
    is_idle_ = true;
    has_slept_ = false;
    idle_since_ns_ = clock_.now();
    is_polling_ = !active_.empty() && spin_policy_.begin(peer_cpu_, spin_us_);
  }
  if (!is_polling_) return sleep();
  for (int i = spin_policy_.is_peer_here() ? 1 : kReadsPerRest; i > 0; --i) {
    for (const ServerConnection* const connection : active_) {
      if (connection->has_request()) return;
    }
    relax();
  }
  int64_t now = 0;
  is_polling_ = spin_policy_.rest(&now);
  if (now - last_poll_ns_ > kCheckInterval) check_clients(now);
}

void EngineThread::sleep() {
  for (ServerConnection* const connection : active_) {
    if (connection->park()) deactivate(connection);
  }
  close_gaps();
  if (!active_.empty()) return;
  // Announce sleep, then look for orders. Partner: post() stores has_orders_, then loads
  // is_asleep_.
  is_asleep_.store(true, std::memory_order_seq_cst);
  if (!has_orders_.load(std::memory_order_seq_cst)) poll_sockets(-1);
  is_asleep_.store(false, std::memory_order_seq_cst);
  owner_->note_awake();
  last_poll_ns_ = clock_.now();
  has_slept_ = true;
}

void EngineThread::check_clients(int64_t now) {
  last_poll_ns_ = now;
  poll_sockets(0);
  for (ServerConnection* const connection : active_) {
    if (connection != nullptr && now - connection->last_ns > kDeactivateAfter &&
        !connection->has_request() && connection->park())
      deactivate(connection);
  }
  if (has_gaps_) close_gaps();
}

void EngineThread::poll_sockets(int timeout_ms) {
  epoll_event events[64];
  const int count = epoll_wait(epoll_.get(), events, 64, timeout_ms);
  for (int i = 0; i < count; ++i) {
    if (events[i].data.ptr != nullptr) {
      dispatch(static_cast<ServerConnection*>(events[i].data.ptr));
      continue;
    }
    uint64_t raised = 0;
    [[maybe_unused]] const ssize_t got = read(alarm_.get(), &raised, sizeof(raised));
  }
}

void EngineThread::dispatch(ServerConnection* connection) {
  switch (connection->listen()) {
    case ServerConnection::SocketEvent::kWakeUp:
      return activate(connection);
    case ServerConnection::SocketEvent::kEnd:
      return retire(connection, Ending::kGone);
    case ServerConnection::SocketEvent::kViolation:
      return retire(connection, Ending::kViolation,
                    "socket: expected wake-ups of one byte, 0x01, each with a request");
  }
}

// ---- Lists ----

void EngineThread::activate(ServerConnection* connection) noexcept {
  if (connection->is_active) return;
  if (active_.size() == active_.capacity()) close_gaps();
  active_.push_back(connection);
  connection->is_active = true;
  connection->last_ns = clock_.now();
}

void EngineThread::deactivate(ServerConnection* connection) noexcept {
  if (!connection->is_active) return;
  connection->is_active = false;
  // The entry is only cleared here and removed later, because serve_active() walks by index.
  *std::find(active_.begin(), active_.end(), connection) = nullptr;
  has_gaps_ = true;
}

void EngineThread::close_gaps() noexcept {
  active_.erase(std::remove(active_.begin(), active_.end(), nullptr), active_.end());
  has_gaps_ = false;
}

void EngineThread::retire(ServerConnection* connection, Ending ending, const char* text) noexcept {
  connection->set_end(ending, text);
  deactivate(connection);
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, connection->fd(), nullptr);
  all_.erase(std::find(all_.begin(), all_.end(), connection));
  num_connections_.fetch_sub(1, std::memory_order_relaxed);
  hand_back(connection);
}

// Returns a connection to the control thread, which may free it at any time from then on. So the
// connection must first leave the list of those with orders.
void EngineThread::hand_back(ServerConnection* connection) noexcept {
  {
    const std::lock_guard<std::mutex> lock(orders_mutex_);
    connection->is_retired = true;
    ServerConnection* before = nullptr;
    for (ServerConnection* one = first_ordered_; one != nullptr; one = one->next_ordered) {
      if (one == connection) {
        (before == nullptr ? first_ordered_ : before->next_ordered) = one->next_ordered;
        if (last_ordered_ == one) last_ordered_ = before;
        break;
      }
      before = one;
    }
  }
  owner_->retire(connection);
}

}  // namespace sidecall::shm
