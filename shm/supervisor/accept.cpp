// Accepts connections for a supervisor, looks at their first message, and decides what follows;
// part of the control thread.
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "impl.h"

namespace sidecall::shm {
namespace {

constexpr int kMaxAccepts = 64;         // in a row, before other events are handled
constexpr size_t kMaxUnassigned = 512;  // connections of one user that wait for a worker
constexpr size_t kMaxAllUnassigned = 4096;
constexpr size_t kMaxStatusRequests = 32;  // requests for STATUS that wait for an answer

}  // namespace

void Supervisor::Impl::accept_some(int listener) {
  for (int i = 0; i < kMaxAccepts; ++i) {
    Fd fd(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    if (fd) {
      run_logging_errors([&] { admit(std::move(fd), false); });
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      const int error = errno;
      log_.log(LogLevel::kWarning, "supervisor.exhausted",
               [&](Facts& facts) { facts.text("reason", std::strerror(error)); });
      pause_listener(listener, true);  // until the next round of the loop
      paused_listener_ = listener;
      return;
    } else if (errno != EINTR && errno != ECONNABORTED) {
      return;
    }
  }
}

void Supervisor::Impl::admit_direct() {
  std::deque<Fd> fds;
  {
    const std::lock_guard lock(mutex_);
    fds.swap(direct_);
  }
  for (Fd& fd : fds) run_logging_errors([&] { admit(std::move(fd), true); });
}

void Supervisor::Impl::admit(Fd fd, bool is_direct) {
  const int number = fd.get();
  const PeerCredentials peer = peer_credentials(number);
  waiting_.push_back({std::move(fd), is_direct ? kFrontendAccount : peer.uid,
                      admission_.admits(peer), Deadline::after(options_.hello_ns)});
  num_waiting_ = waiting_.size();
  // Most clients have sent their first message by now.
  const auto newest = std::prev(waiting_.end());
  if (read_first_message(newest)) return;
  try {
    watch(number, kHello + static_cast<uint32_t>(number));
  } catch (...) {
    waiting_.erase(newest);
    throw;
  }
  make_room();
}

// Closes connections without a first message until few enough are left: first those of users who
// are not admitted, then the oldest one of the user who has the most, so that no user can displace
// others.
void Supervisor::Impl::make_room() {
  while (waiting_.size() > options_.max_half_open) {
    auto victim = std::find_if(waiting_.begin(), waiting_.end(),
                               [](const Waiting& each) { return !each.is_admitted; });
    if (victim == waiting_.end()) {
      std::map<uint32_t, size_t> counts;
      for (const Waiting& each : waiting_) ++counts[each.user];
      const auto most = std::max_element(
          counts.begin(), counts.end(),
          [](const auto& one, const auto& other) { return one.second < other.second; });
      victim = std::find_if(waiting_.begin(), waiting_.end(),
                            [&](const Waiting& each) { return each.user == most->first; });
    }
    if (!read_first_message(victim)) drop_silent(victim);
  }
}

void Supervisor::Impl::drop_silent(std::list<Waiting>::iterator one) {
  const uint32_t user = one->user;
  waiting_.erase(one);
  num_waiting_ = waiting_.size();
  log_.log(
      LogLevel::kWarning, "connection.silent",
      [&](Facts& facts) { facts.number("uid", uint64_t{user}); }, user);
}

void Supervisor::Impl::drop_expired() {
  while (!waiting_.empty() && waiting_.front().deadline.passed()) drop_silent(waiting_.begin());
}

bool Supervisor::Impl::read_first_message(int number) {
  const auto found = std::find_if(waiting_.begin(), waiting_.end(),
                                  [&](const Waiting& each) { return each.fd.get() == number; });
  return found == waiting_.end() || read_first_message(found);
}

// Looks for the first message of a connection, or its end. Returns false if neither has come.
bool Supervisor::Impl::read_first_message(std::list<Waiting>::iterator one) {
  const Peeked first = peek(one->fd.get());
  if (first == Peeked::kNotYet) return false;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, one->fd.get(), nullptr);  // it may not be watched yet
  Waiting taken = std::move(*one);
  waiting_.erase(one);
  num_waiting_ = waiting_.size();
  if (first != Peeked::kGone) answer_hello(std::move(taken), first);
  return true;
}

void Supervisor::Impl::answer_hello(Waiting one, Peeked first) {
  const auto warn = [&](const char* event, const char* message) {
    log_.log(
        LogLevel::kWarning, event,
        [&](Facts& facts) {
          facts.number("uid", uint64_t{one.user});
          if (message != nullptr) facts.text("message", message);
        },
        one.user);
  };
  if (!one.is_admitted) {
    warn("connection.denied", nullptr);
    return refuse(Socket(std::move(one.fd)), SIDECALL_DENIED, "this user is not admitted");
  }
  if (first == Peeked::kNotHello) {
    violations_.fetch_add(1, std::memory_order_relaxed);
    return warn("connection.violation", "expected HELLO");
  }
  std::unique_lock lock(mutex_);
  // Connections that wait for a worker are added to the sum only if they are of the same user.
  // Otherwise one user's flood would use up the connections of others.
  const auto queue = unassigned_.find(one.user);
  const size_t num_waiting = queue == unassigned_.end() ? 0 : queue->second.size();
  const char* full = nullptr;
  if (first == Peeked::kStatus) {
    if (status_requests_.size() >= kMaxStatusRequests) full = "too many status requests";
  } else if (count_connections() + num_waiting >= options_.max_connections) {
    full = "too many connections";
  } else if (num_waiting >= kMaxUnassigned || num_unassigned_ >= kMaxAllUnassigned) {
    full = "too many connections wait for a worker";
  }
  if (full == nullptr && first == Peeked::kStatus) {
    status_requests_.push_back(std::move(one.fd));
    return changed_.notify_all();
  }
  if (full == nullptr) {
    unassigned_[one.user].push_back(std::move(one.fd));
    ++num_unassigned_;
    return;
  }
  lock.unlock();
  refuse(Socket(std::move(one.fd)), SIDECALL_BUSY, full);
}

uint64_t Supervisor::Impl::count_connections() const {
  uint64_t connections = 0;
  for (const auto& [number, worker] : workers_) connections += worker.connections;
  return connections;
}

}  // namespace sidecall::shm
