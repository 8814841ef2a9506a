// The descriptor for event loops, and cancelling a call from another thread.
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "channel.h"
#include "process.h"

namespace sidecall::shm {
namespace {

// How long has_news() lets a handshake alone: a quarter of the time that it has taken so far, so
// that many servers that hang do not delay the answers of others.
constexpr int64_t kShortestPause = 50 * 1000;
constexpr int64_t kLongestPause = 5 * 1000 * 1000;

}  // namespace

int Channel::State::fd() {
  if (fork.is_forked()) throw_forked();
  if (epoll) return epoll.get();
  Fd fresh(epoll_create1(EPOLL_CLOEXEC));
  if (!fresh)
    system_failure(SIDECALL_OUT_OF_MEMORY, "cannot create a descriptor for event loops", errno);
  Fd clock(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!clock) system_failure(SIDECALL_OUT_OF_MEMORY, "cannot create a timer", errno);
  epoll = std::move(fresh);
  try {
    watch(clock.get());
    watch(cancel_event());
    if (socket) watch(socket.fd());
    if (handshake && handshake->fd() >= 0) watch(handshake->fd());
  } catch (...) {
    epoll.reset();
    throw;
  }
  timer = std::move(clock);
  return epoll.get();
}

// The kernel removes a socket from the set when it is closed. The socket of a handshake is already
// in the set when its connection is complete (EEXIST). The pidfd is not added: the pidfds of all
// connections are duplicates of one open file that the server sent, and the kernel does not allow
// more than about a hundred nested epoll sets to watch the same file. The hang-up of the socket
// also reports the server's death, and the timer makes poll() look at the process in the meantime.
void Channel::State::watch(int descriptor) {
  epoll_event readable{};
  readable.events = EPOLLIN;
  if (epoll_ctl(epoll.get(), EPOLL_CTL_ADD, descriptor, &readable) != 0 && errno != EEXIST)
    system_failure(SIDECALL_OUT_OF_MEMORY, "cannot watch a descriptor", errno);
}

// A timer that expires sooner stays as it is: poll() then finds nothing to do and sets the next
// time. So most runs of a busy channel need no system call here.
void Channel::State::set_timer(Deadline at) noexcept {
  if (timer_at.at_ns() <= at.at_ns() && !timer_at.passed()) return;
  timer_at = at;
  itimerspec when{};
  when.it_value.tv_sec = static_cast<time_t>(at.at_ns() / 1000000000);
  when.it_value.tv_nsec = static_cast<long>(at.at_ns() % 1000000000);
  // After a failure the next run sets the timer.
  if (timerfd_settime(timer.get(), TFD_TIMER_ABSTIME, &when, nullptr) != 0)
    timer_at = Deadline::never();
}

void Channel::State::arm() {
  fd();
  if (handshake) return set_timer(handshake->next());  // nothing is published yet
  if (outcome == Outcome::kPending) {
    if (look_at.is_never() || look_at.passed()) look_at = Deadline::after(kLookAtProcess);
    set_timer(Deadline::earlier(deadline(), look_at));
  }
  // Announce sleep, as in sleep(). An answer that arrived before this store sends no wake-up, so
  // look once more.
  request_head()->sleeping.store(++sleeping, std::memory_order_seq_cst);
  if (outcome == Outcome::kPending && !has_response(std::memory_order_seq_cst)) return;
  raise_event();
}

void Channel::State::arm_now() {
  if (fork.is_forked()) throw_forked();
  if (outcome != Outcome::kPending) {
    if (is_free(true)) raise_event();
  } else if (!is_armed) {
    is_armed = true;
    arm();
  }
}

bool Channel::State::has_news(bool looks_at_all, bool looks_at_connecting, int64_t now) noexcept {
  // Relaxed: the queue that calls this was woken after the flag was set.
  if (outcome != Outcome::kPending || is_cancelled.load(std::memory_order_relaxed)) return true;
  if (handshake) {
    // A queue that never sleeps is not told that the connection is ready, so look now and then.
    if (!looks_at_connecting && now < next_step.at_ns() && now < handshake->next().at_ns())
      return false;
    next_step = Deadline::after(
        std::clamp((now - handshake->begun_ns()) / 4, kShortestPause, kLongestPause), now);
    return true;
  }
  return looks_at_all || has_response(std::memory_order_acquire) || now >= look_at.at_ns() ||
         now >= deadline().at_ns();
}

// The sockets join the set with the data -1, because their owner looks at all channels when one of
// them is ready.
Deadline Channel::State::prepare_sleep(int set, uint64_t number) {
  if (fork.is_forked()) throw_forked();
  const Deadline now = Deadline::after(0, 0);  // has passed in any case
  if (outcome != Outcome::kPending) return now;
  const int descriptor = handshake ? handshake->fd() : socket.fd();
  if (descriptor >= 0 && joined_set != number) {
    epoll_event ready{};
    ready.events = EPOLLIN | EPOLLRDHUP | EPOLLET;
    ready.data.fd = -1;
    if (epoll_ctl(set, EPOLL_CTL_ADD, descriptor, &ready) != 0 && errno != EEXIST)
      system_failure(SIDECALL_OUT_OF_MEMORY, "cannot watch a descriptor", errno);
    if (!handshake) joined_set = number;
  }
  if (handshake) return Deadline::earlier(handshake->next(), deadline());
  if (look_at.is_never()) look_at = Deadline::after(kLookAtProcess);
  // Announce sleep, as in sleep().
  request_head()->sleeping.store(++sleeping, std::memory_order_seq_cst);
  is_sleep_announced = true;
  const bool is_over = has_response(std::memory_order_seq_cst) ||
                       is_cancelled.load(std::memory_order_seq_cst) || !socket;
  return is_over || look_at.passed() ? now : Deadline::earlier(look_at, deadline());
}

void Channel::State::raise_event() noexcept {
  const uint64_t one = 1;
  is_event_raised = write(event.get(), &one, sizeof one) == sizeof one;
}

void Channel::State::stop_timer() noexcept {
  timer_at = Deadline::never();
  const itimerspec never{};
  timerfd_settime(timer.get(), 0, &never, nullptr);
}

// The timer goes on, for the next run. When it expires, or when more messages arrive, the
// descriptor becomes readable once more; the next poll() or clear_fd() clears it.
void Channel::State::disarm() noexcept {
  is_armed = false;
  if (!epoll) return;
  if (timer_at.passed()) stop_timer();
  if (is_event_raised || is_cancelled.load(std::memory_order_relaxed)) clear_event();
  drain_socket(1);  // usually the ring of the answer
}

void Channel::State::clear_fd() noexcept {
  disarm();
  if (!epoll) return;
  if (!timer_at.is_never()) stop_timer();
  drain_socket(INT_MAX);
}

void Channel::State::drain_socket(int max_messages) noexcept {
  try {
    bool is_gone = !socket;
    read_socket(&is_gone, max_messages);
    if (is_gone) socket.close();  // otherwise the descriptor would stay readable
  } catch (...) {
    socket.close();  // the answer remains valid; the next publish connects again
  }
}

int Channel::State::cancel_event() {
  if (event) return event.get();
  Fd fresh(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fresh) system_failure(SIDECALL_OUT_OF_MEMORY, "cannot create an eventfd", errno);
  event = std::move(fresh);
  cancel_number.store(event.get(), std::memory_order_seq_cst);
  return event.get();
}

void Channel::State::clear_event() noexcept {
  uint64_t count = 0;
  while (read(event.get(), &count, sizeof count) < 0 && errno == EINTR) {
  }
  is_event_raised = false;
}

void Channel::State::cancel() noexcept {
  if (fork.is_forked()) return;
  is_cancelled.store(true, std::memory_order_seq_cst);
  const int number = cancel_number.load(std::memory_order_seq_cst);
  const uint64_t one = 1;
  // If the counter of the event is full, the write fails, but the event is readable, which is
  // enough.
  while (number >= 0 && write(number, &one, sizeof one) < 0 && errno == EINTR) {
  }
}

}  // namespace sidecall::shm
