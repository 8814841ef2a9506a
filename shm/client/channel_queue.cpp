// A call that waits in a queue, beside others: looks for its answer without waiting, and lets the
// server wake the thread that waits for all of them.
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>

#include "channel.h"
#include "process.h"

namespace sidecall::shm {
namespace {

// How long has_news() lets a handshake alone: a quarter of the time that it has taken so far, so
// that many servers that hang do not delay the answers of others.
constexpr int64_t kShortestPause = 50 * 1000;
constexpr int64_t kLongestPause = 5 * 1000 * 1000;

}  // namespace

Outcome Channel::State::poll() {
  if (fork.is_forked()) throw_forked();
  if (outcome != Outcome::kPending) return outcome;
  try {
    if (handshake) {
      if (is_cancelled.load(std::memory_order_seq_cst)) return give_up(Outcome::kCancelled);
      if (go_on_connecting()) send();
      return outcome;
    }
    if (has_response(std::memory_order_acquire)) return accept();
    if (is_cancelled.load(std::memory_order_seq_cst)) return give_up(Outcome::kCancelled);
    const int fds[2] = {socket.fd(), pidfd.get()};
    const unsigned ready = wait_readable(fds, 2, Deadline::after(0));
    bool is_gone = false;
    if (ready & 1u) read_socket(&is_gone);
    if (is_gone || (ready & 2u) != 0) on_death();
    else if (has_response(std::memory_order_acquire)) accept();
    else if (deadline().passed()) give_up(Outcome::kTimedOut);
    else if (look_at.passed() && is_lost()) on_death();
    if (look_at.passed()) look_at = Deadline::after(kLookAtProcess);
    return outcome;
  } catch (...) {
    end_call();
    throw;
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

// Reads one message, usually the ring of the answer.
void Channel::State::take_ring() noexcept {
  try {
    bool is_gone = !socket;
    read_socket(&is_gone, 1);
    if (is_gone) socket.close();
  } catch (...) {
    socket.close();  // the answer remains valid; the next publish connects again
  }
}

}  // namespace sidecall::shm
