// The loop of an engine thread, and how the control thread reaches into it; see engine_thread.h.
#include "engine_thread.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>

#include "shm/common/error.h"

namespace sidecall::shm {

namespace {

// How often a busy thread looks at the sockets of connections that sleep: the most that it adds to their wake-up.
constexpr int64_t kLookEvery = 50 * 1000;

// How often a busy thread with several clients offers its CPU where none is known to run there.
constexpr int64_t kTurnEvery = 200 * 1000;

// A connection that is quiet for so long while others are busy is polled no more.
constexpr int64_t kCoolAfter = 5 * 1000 * 1000;

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
    system_failure(SIDECALL_OUT_OF_MEMORY, "an engine thread cannot be made", errno);
  }
}

void EngineThread::start() { thread_ = std::thread(&EngineThread::run, this); }

// ---- Letters ----

void EngineThread::add(ServerConnection* connection) {
  num_connections_.fetch_add(1, std::memory_order_relaxed);
  post(Order::kAdd, connection);
}
void EngineThread::drop(ServerConnection* connection) { post(Order::kDrop, connection); }
void EngineThread::drain() { post(Order::kDrain, nullptr); }

void EngineThread::stop() noexcept {
  if (!thread_.joinable()) return;
  post(Order::kStop, nullptr);
  thread_.join();
}

void EngineThread::post(Order order, ServerConnection* connection) {
  {
    const std::lock_guard<std::mutex> lock(letters_mutex_);
    letters_.push_back({order, connection});
  }
  // Leave word, then look for a sleeper. Partner: sleep().
  has_letters_.store(true, std::memory_order_seq_cst);
  if (is_asleep_.load(std::memory_order_seq_cst)) return wake();
  // It may be in a handler for long. Missed here, tick() comes by.
  if (!watch_.hold()) return;
  read_letters();
  watch_.release();
}

void EngineThread::wake() noexcept {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written =
      write(alarm_.get(), &one, sizeof(one));  // fails only where it is raised already
}

void EngineThread::read_letters() {
  std::vector<Letter> letters;
  {
    const std::lock_guard<std::mutex> lock(letters_mutex_);
    letters.swap(letters_);
    has_letters_.store(false, std::memory_order_relaxed);
  }
  for (const Letter& letter : letters) {
    if (obey(letter)) continue;
    const std::lock_guard<std::mutex> lock(letters_mutex_);
    letters_.push_back(letter);
    has_letters_.store(true, std::memory_order_relaxed);
  }
}

// False for what must wait until the request under way is answered; the next tick tries again.
bool EngineThread::obey(const Letter& letter) {
  ServerConnection* const connection = letter.connection;
  switch (letter.order) {
    case Order::kAdd: {
      all_.push_back(connection);
      epoll_event event{};
      event.events = EPOLLIN | EPOLLRDHUP;
      event.data.ptr = connection;
      if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, connection->fd(), &event) != 0) {
        let_go(connection, Ending::kFailed, "its socket cannot be watched");
      } else if (is_draining_) {
        let_go(connection, Ending::kDrained, "");
      } else {
        heat(connection);  // it has not announced sleep: the client would not ring
      }
      return true;
    }
    case Order::kDrop:
      if (connection ==
          running_) {  // held: the engine thread itself reads no letters during a request
        watch_.interrupt(SIDECALL_PEER_DIED);
        return false;
      }
      // By now the thread may have let go of it by itself.
      if (std::find(all_.begin(), all_.end(), connection) != all_.end())
        let_go(connection, Ending::kGone, "");
      return true;
    case Order::kDrain:
      is_draining_ = true;
      for (size_t i = all_.size(); i-- > 0;) {
        if (all_[i] != running_) let_go(all_[i], Ending::kDrained, "");
      }
      return true;
    case Order::kStop:
      is_stopping_ = true;
      return true;
  }
  return true;
}

void EngineThread::tick() noexcept {
  if (!watch_.hold()) return;
  if (const int32_t status = watch_.stop_status(); status != 0) watch_.interrupt(status);
  if (has_letters_.load(std::memory_order_relaxed)) read_letters();
  watch_.release();
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
    if (has_letters_.load(std::memory_order_acquire)) read_letters();
    if (is_stopping_) return;
    if (!serve_hot()) {
      idle();
      continue;
    }
    // Clients that were moved to this CPU while this thread kept it cannot tell.
    if (has_near_ || (hot_.size() > 1 && last_work_ns_ - last_turn_ns_ > kTurnEvery)) {
      pace_.give_turn(last_work_ns_, spin_us_);
      last_turn_ns_ = last_work_ns_;
    }
    has_near_ = false;
    if (last_work_ns_ - last_poll_ns_ > kLookEvery) look_around(last_work_ns_);
  }
}

// One request of each connection that has one.
bool EngineThread::serve_hot() {
  bool has_worked = false;
  for (size_t i = 0; i < hot_.size();
       ++i) {  // a handler that runs long may see others come and go meanwhile
    ServerConnection* const connection = hot_[i];
    if (connection == nullptr || !connection->has_news()) continue;
    serve(connection);
    has_worked = true;
  }
  if (has_gaps_) close_gaps();
  if (has_worked && is_idle_) {
    is_idle_ = false;
    pace_.note(has_slept_ ? last_work_ns_ - idle_since_ns_ : 0);
  }
  return has_worked;
}

void EngineThread::serve(ServerConnection* connection) {
  running_ = connection;
  Ending ending = Ending::kGone;
  std::string text;
  bool goes_on = false;
  try {
    goes_on = connection->serve(&watch_, &counters_, &clock_);
  } catch (const Error& error) {
    ending = error.status == SIDECALL_PROTOCOL ? Ending::kViolation : Ending::kFailed;
    text = error.message;
  } catch (const std::exception& error) {
    ending = Ending::kFailed;
    text = error.what();
  }
  running_ = nullptr;
  last_work_ns_ = connection->last_ns;
  note_cpu(connection->peer_cpu);
  if (goes_on && is_draining_) goes_on = false, ending = Ending::kDrained;
  if (!goes_on) let_go(connection, ending, text);
}

void EngineThread::note_cpu(uint32_t cpu) noexcept {
  const bool is_near = cpu != 0 && cpu == my_cpu();
  has_near_ = has_near_ || is_near;
  if (is_near && last_work_ns_ - last_far_ns_ <= Pace::kSpin) return;
  peer_cpu_ = cpu;
  if (!is_near) last_far_ns_ = last_work_ns_;
}

void EngineThread::idle() {
  if (!is_idle_) {
    is_idle_ = true;
    has_slept_ = false;
    idle_since_ns_ = clock_.now();
    is_polling_ = !hot_.empty() && pace_.begin(peer_cpu_, spin_us_);
  }
  if (!is_polling_) return sleep();
  for (int i = pace_.is_near() ? 1 : kLooks; i > 0; --i) {
    for (const ServerConnection* const connection : hot_) {
      if (connection->has_news()) return;
    }
    relax();
  }
  int64_t now = 0;
  is_polling_ = pace_.rest(&now);
  if (now - last_poll_ns_ > kLookEvery) look_around(now);
}

void EngineThread::sleep() {
  for (ServerConnection* const connection : hot_) {
    if (connection->park()) cool(connection);
  }
  close_gaps();
  if (!hot_.empty()) return;
  // Announce sleep, then look for letters. Partner: post().
  is_asleep_.store(true, std::memory_order_seq_cst);
  if (!has_letters_.load(std::memory_order_seq_cst)) poll_sockets(-1);
  is_asleep_.store(false, std::memory_order_seq_cst);
  owner_->note_awake();
  last_poll_ns_ = clock_.now();
  has_slept_ = true;
}

void EngineThread::look_around(int64_t now) {
  last_poll_ns_ = now;
  poll_sockets(0);
  for (ServerConnection* const connection : hot_) {
    if (connection != nullptr && now - connection->last_ns > kCoolAfter &&
        !connection->has_news() && connection->park())
      cool(connection);
  }
  if (has_gaps_) close_gaps();
}

void EngineThread::poll_sockets(int timeout_ms) {
  epoll_event events[64];
  const int count = epoll_wait(epoll_.get(), events, 64, timeout_ms);
  for (int i = 0; i < count; ++i) {
    if (events[i].data.ptr != nullptr) {
      hear(static_cast<ServerConnection*>(events[i].data.ptr));
      continue;
    }
    uint64_t raised = 0;
    [[maybe_unused]] const ssize_t got = read(alarm_.get(), &raised, sizeof(raised));
  }
}

void EngineThread::hear(ServerConnection* connection) {
  switch (connection->listen()) {
    case ServerConnection::Heard::kRung:
      return heat(connection);
    case ServerConnection::Heard::kEnd:
      return let_go(connection, Ending::kGone, "");
    case ServerConnection::Heard::kViolation:
      return let_go(connection, Ending::kViolation,
                    "socket: expected single bytes of 0x01 and requests to go with them");
  }
}

// ---- Lists ----

void EngineThread::heat(ServerConnection* connection) {
  if (connection->is_hot) return;
  hot_.push_back(connection);
  connection->is_hot = true;
  connection->last_ns = clock_.now();
}

void EngineThread::cool(ServerConnection* connection) noexcept {
  if (!connection->is_hot) return;
  connection->is_hot = false;
  *std::find(hot_.begin(), hot_.end(), connection) =
      nullptr;  // closed later: serve_hot() walks by index
  has_gaps_ = true;
}

void EngineThread::close_gaps() noexcept {
  hot_.erase(std::remove(hot_.begin(), hot_.end(), nullptr), hot_.end());
  has_gaps_ = false;
}

void EngineThread::let_go(ServerConnection* connection, Ending ending, const std::string& text) {
  cool(connection);
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, connection->fd(), nullptr);
  all_.erase(std::find(all_.begin(), all_.end(), connection));
  num_connections_.fetch_sub(1, std::memory_order_relaxed);
  owner_->retire(connection, ending, text);
}

}  // namespace sidecall::shm
