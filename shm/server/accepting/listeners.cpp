// Accepts connections; see listeners.h.
#include "listeners.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

namespace sidecall::shm {

namespace {

// How many connections of one listener are accepted before other events are handled.
constexpr int kMaxAccepts = 64;

// For how long a server that has run out of descriptors stops accepting connections.
constexpr int64_t kPause = 50 * 1000 * 1000;

}  // namespace

Listeners::Listeners(EventLog* log, Poller* poller, Refusals* refusals)
    : log_(log), poller_(poller), refusals_(refusals), spare_(eventfd(0, EFD_CLOEXEC)) {}

void Listeners::add(Listener listener, bool accepts) {
  const int fd = listener.fd();
  listeners_.reserve(listeners_.size() + 1);
  if (accepts) poller_->watch(fd, EPOLLIN, Source::kListener, static_cast<uint64_t>(fd));
  else held_.push_back(fd);
  log_->log(LogLevel::kInfo, "server.listening",
            [&](Facts& facts) { facts.text("path", listener.path()); });
  listeners_.push_back(std::move(listener));
}

bool Listeners::watch_next() {
  if (held_.empty()) return false;
  const int fd = held_.back();
  poller_->watch(fd, EPOLLIN, Source::kListener, static_cast<uint64_t>(fd));
  held_.pop_back();
  return true;
}

void Listeners::close() noexcept {
  for (const Listener& listener : listeners_) poller_->unwatch(listener.fd());
  listeners_.clear();
  held_.clear();
}

void Listeners::accept_all(int listener, const std::function<void(Socket)>& take) {
  for (int i = 0; i < kMaxAccepts; ++i) {
    const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd >= 0) {
      take(Socket(Fd(fd)));
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      return accept_without_descriptors(listener);
    } else if (errno != EINTR && errno != ECONNABORTED) {
      return;
    }
  }
}

// Accepts one connection with the spare descriptor and refuses it, so that one client learns the
// reason. The other clients wait.
void Listeners::accept_without_descriptors(int listener) {
  spare_.reset();
  const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd >= 0) {
    refusals_->refuse({Socket(Fd(fd)), peer_credentials(fd), false}, SIDECALL_OUT_OF_MEMORY,
                      "the server has no file descriptors left");
  }
  spare_.reset(eventfd(0, EFD_CLOEXEC));
  paused_until_ns_ = now_ns() + kPause;
  pause(true);
}

void Listeners::resume(int64_t now) noexcept {
  if (is_paused_ && now >= paused_until_ns_) pause(false);
}

void Listeners::pause(bool pause) noexcept {
  if (std::exchange(is_paused_, pause) == pause) return;
  for (const Listener& listener : listeners_) {
    poller_->change(listener.fd(), pause ? 0u : static_cast<uint32_t>(EPOLLIN), Source::kListener,
                    static_cast<uint64_t>(listener.fd()));
  }
}

}  // namespace sidecall::shm
