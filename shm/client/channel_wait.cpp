// Waits for an answer: polls for a short time if that is worthwhile, then sleeps on the socket.
// Another thread can end the wait.
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>

#include "channel.h"
#include "process.h"
#include "shm/common/fault.h"

namespace sidecall::shm {
namespace {

constexpr int64_t kLookAtSocket = 1000 * 1000;  // interval of checks of the socket while polling
// receive_soon is used only if more time than this is left, because its timeout is rounded up to
// the kernel's tick, 10 ms at worst.
constexpr int64_t kSliceNeeds = 20 * 1000 * 1000;

}  // namespace

bool Channel::State::spin() {
  if (!spin_policy.begin(peer_cpu)) return has_response(std::memory_order_acquire);
  int64_t now = 0, look = 0;
  bool goes_on = true;
  while (true) {
    for (int i = spin_policy.is_cpu_shared() ? 1 : kReadsPerRest; i > 0; --i) {
      if (has_response(std::memory_order_acquire)) {
        if (is_table_known && !tensors.empty()) fetch_to_read(response_slot() + tensors[0].offset);
        spin_policy.note(0);
        return true;
      }
      relax();
    }
    if (!goes_on) break;
    goes_on = spin_policy.rest(&now);
    if (look == 0) look = now + kLookAtSocket;
    // Relaxed: only a hint; sleep() checks again with seq_cst.
    if (now >= deadline().at_ns() || is_cancelled.load(std::memory_order_relaxed)) break;
    if (now < look) continue;
    const int fds[2] = {socket.fd(), pidfd.get()};
    if (wait_readable(fds, 2, Deadline::after(0))) break;
    look = now + kLookAtSocket;
  }
  spin_policy.note(INT64_MAX);
  return false;
}

bool Channel::State::wait_for_socket(bool* is_first) {
  bool is_gone = false;
  if (*is_first && deadline().left_ns() > kSliceNeeds) {
    *is_first = false;
    char buffer[sizeof(FileMessage) + 1];
    Received received = socket.receive_soon(buffer, sizeof buffer);
    if (received.kind != Received::kNothing) {
      *is_first = received.kind == Received::kMessage;
      handle(&received, buffer, &is_gone);
    }
    return is_gone;
  }
  const int fds[3] = {socket.fd(), pidfd.get(), cancel_event()};
  if (is_cancelled.load(std::memory_order_seq_cst)) return false;  // partner: see cancel_number
  const unsigned ready =
      wait_readable(fds, 3, Deadline::earlier(deadline(), Deadline::after(kLookAtProcess)));
  if (ready == 0) return is_lost();
  if (ready & 4u) clear_event();
  if (ready & 3u) read_socket(&is_gone);
  return is_gone || (ready & 2u) != 0;
}

// Acquire: partner of the server's store of `taken`, which precedes its first access to the
// request. A request that the server never took is not lost: after the hang-up it is sent to the
// next server.
bool Channel::State::is_lost() {
  if (!is_pending || is_given_up ||
      response_head()->mark.load(std::memory_order_acquire) < sequence)
    return false;
  if (!pid) pid = pid_of(pidfd.get());
  return is_ending(*pid);
}

Outcome Channel::State::sleep() {
  bool is_first = true;
  while (true) {
    // Increment the word, then look again. Partner: the server stores the sequence, then loads this
    // word. Each side stores and then loads, so both need seq_cst.
    request_head()->sleeping.store(++sleeping, std::memory_order_seq_cst);
    fault_point("client.sleeps");
    if (has_response(std::memory_order_seq_cst)) return accept();
    if (is_cancelled.load(std::memory_order_seq_cst)) return give_up(Outcome::kCancelled);
    if (deadline().passed()) return give_up(Outcome::kTimedOut);
    if (wait_for_socket(&is_first)) return on_death();
    if (has_response(std::memory_order_acquire)) return accept();
  }
}

void Channel::State::wait_for_connection() {
  if (is_cancelled.load(std::memory_order_seq_cst)) {
    give_up(Outcome::kCancelled);
  } else if (go_on_connecting()) {
    send();
  } else {
    const int fds[2] = {handshake->fd(), cancel_event()};
    if (is_cancelled.load(std::memory_order_seq_cst)) return;  // partner: see cancel_number
    if (wait_readable(fds, 2, handshake->next()) & 2u) clear_event();
  }
}

Outcome Channel::State::wait() {
  if (fork.is_forked()) throw_forked();
  try {
    while (outcome == Outcome::kPending) {
      if (handshake) wait_for_connection();
      else if (spin()) accept();
      else sleep();
    }
  } catch (...) {
    end_call();
    throw;
  }
  return outcome;
}

bool Channel::State::is_free(bool will_sleep) {
  if (fork.is_forked()) throw_forked();
  if (!is_given_up) return true;
  try {
    const int fds[2] = {socket.fd(), pidfd.get()};
    const unsigned ready = wait_readable(fds, 2, Deadline::after(0));
    // give_up() closes the socket if it sees that the server has hung up.
    bool is_gone = !socket || (ready & 2u) != 0;
    if (ready & 1u) read_socket(&is_gone);
    // Announce sleep, as in sleep(): from here on the server sends a ring with the late answer.
    if (will_sleep) request_head()->sleeping.store(++sleeping, std::memory_order_seq_cst);
    if (has_response(std::memory_order_seq_cst)) accept();
    else if (is_gone) drop();
  } catch (const Error&) {
    drop();  // the failure concerns a call that is over; the next call connects again
  }
  return !is_given_up;
}

bool Channel::State::await_free(Deadline end, const std::atomic<bool>& stop) {
  const int fds[3] = {socket.fd(), pidfd.get(), cancel_event()};
  while (!is_free(true)) {
    // Partner: another thread sets `stop` and then calls cancel(), which raises the event. The
    // event was created above, so either we see `stop` here or the event wakes us.
    if (stop.load(std::memory_order_seq_cst) || end.passed()) return false;
    if (wait_readable(fds, 3, end) & 4u) clear_event();
  }
  return true;
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
