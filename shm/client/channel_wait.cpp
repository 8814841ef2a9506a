// Waiting for an answer: a few hundred nanoseconds of polling where that pays, then sleep on the socket.
#include "channel.h"
#include "process.h"
#include "shm/common/fault.h"

namespace sidecall::shm {
namespace {

constexpr int64_t kLookAtSocket = 1000 * 1000;  // while polling
constexpr int64_t kSliceNeeds =
    20 * 1000 * 1000;              // receive_soon is as exact as the kernel's tick, 10 ms at worst
constexpr int kPollsPerLook = 64;  // poll() in a program's own loop

Deadline at_once() { return Deadline::after(0); }

}  // namespace

bool Channel::State::spin() {
  if (!pace.begin(peer_cpu)) return has_news(std::memory_order_acquire);
  int64_t now = 0, look = 0;
  bool goes_on = true;
  while (true) {
    for (int i = pace.is_crowded() ? 1 : kLooks; i > 0; --i) {
      if (has_news(std::memory_order_acquire)) {
        if (is_table_known && !tensors.empty()) fetch_to_read(response_slot() + tensors[0].offset);
        pace.note(0);
        return true;
      }
      relax();
    }
    if (!goes_on) break;
    goes_on = pace.rest(&now);
    if (look == 0) look = now + kLookAtSocket;
    // Relaxed: a hint, sleep() looks properly.
    if (now >= deadline().at_ns() || now >= look_until.at_ns() ||
        is_cancelled.load(std::memory_order_relaxed))
      break;
    if (now < look) continue;
    const int fds[2] = {socket.fd(), pidfd.get()};
    if (wait_readable(fds, 2, at_once())) break;
    look = now + kLookAtSocket;
  }
  pace.note(INT64_MAX);
  return false;
}

bool Channel::State::wait_for_socket(bool* is_first) {
  bool is_gone = false;
  const Deadline end = Deadline::earlier(deadline(), look_until);
  if (*is_first && end.left_ns() > kSliceNeeds) {
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
  if (is_cancelled.load(std::memory_order_seq_cst)) return false;  // see cancel_number
  const unsigned ready =
      wait_readable(fds, 3, Deadline::earlier(end, Deadline::after(kLookAtProcess)));
  if (ready == 0) return is_lost();
  if (ready & 4u) clear_event();
  if (ready & 3u) read_socket(&is_gone);
  return is_gone || (ready & 2u) != 0;
}

// Acquire: partner of the server's store before it touches the request. One that it never took goes to its successor, after the hang-up.
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
    // Raise the word, then look again. Partner: the server stores the sequence, then looks at this word. A store-load pair on both sides: seq_cst.
    request_head()->sleeping.store(++sleeping, std::memory_order_seq_cst);
    fault_point("client.sleeps");
    if (has_news(std::memory_order_seq_cst)) return accept();
    if (is_cancelled.load(std::memory_order_seq_cst)) return give_up(Outcome::kCancelled);
    if (deadline().passed()) return give_up(Outcome::kTimedOut);
    if (look_until.passed()) return outcome;
    if (wait_for_socket(&is_first)) return on_death();
    if (has_news(std::memory_order_acquire)) return accept();
  }
}

void Channel::State::wait_for_connection() {
  if (is_cancelled.load(std::memory_order_seq_cst)) {
    give_up(Outcome::kCancelled);
  } else if (go_on_connecting()) {
    send();
  } else {
    const int fds[2] = {handshake->fd(), cancel_event()};
    if (is_cancelled.load(std::memory_order_seq_cst)) return;  // see cancel_number
    if (wait_readable(fds, 2, Deadline::earlier(handshake->next(), look_until)) & 2u) clear_event();
  }
}

Outcome Channel::State::wait(Deadline end) {
  if (fork.is_forked()) throw_forked();
  look_until = end;
  try {
    while (outcome == Outcome::kPending) {
      if (handshake) wait_for_connection();
      else if (spin()) accept();
      else sleep();
      if (outcome == Outcome::kPending && look_until.passed()) break;
    }
  } catch (...) {
    end_call();
    throw;
  }
  return outcome;
}

Outcome Channel::State::poll() {
  if (fork.is_forked()) throw_forked();
  if (outcome != Outcome::kPending) {
    if (is_armed) disarm();
    return outcome;
  }
  try {
    if (handshake) {
      if (event)
        clear_event();  // of an earlier cancel; one of this call has stored `is_cancelled` before
      if (is_cancelled.load(std::memory_order_seq_cst)) return give_up(Outcome::kCancelled);
      if (go_on_connecting()) send();
      if (is_armed) arm();
      return outcome;
    }
    if (has_news(std::memory_order_acquire)) {
      accept();
      if (is_armed) arm();  // for a request that was sent just now
      return outcome;
    }
    if (is_cancelled.load(std::memory_order_seq_cst)) return give_up(Outcome::kCancelled);
    if (!is_armed && ++polls % kPollsPerLook != 0 &&
        !Deadline::earlier(look_at, deadline()).passed())
      return outcome;
    const int fds[3] = {socket.fd(), pidfd.get(), event.get()};
    const unsigned ready = wait_readable(fds, 3, at_once());
    bool is_gone = false;
    if (ready & 4u)
      clear_event();  // of an earlier cancel, which would keep the descriptor readable
    if (ready & 3u) read_socket(&is_gone);
    if (is_gone || (ready & 2u) != 0) on_death();
    else if (has_news(std::memory_order_acquire)) accept();
    else if (is_cancelled.load(std::memory_order_seq_cst)) give_up(Outcome::kCancelled);
    else if (deadline().passed()) give_up(Outcome::kTimedOut);
    else if (look_at.passed() && is_lost()) on_death();
    if (is_armed) arm();  // still, or for a request that was sent just now
    else if (look_at.passed()) look_at = Deadline::after(kLookAtProcess);
    return outcome;
  } catch (...) {
    end_call();
    throw;
  }
}

bool Channel::State::is_free(bool will_sleep) {
  if (fork.is_forked()) throw_forked();
  if (!is_given_up) return true;
  try {
    const int fds[2] = {socket.fd(), pidfd.get()};
    const unsigned ready = wait_readable(fds, 2, at_once());
    bool is_gone = (ready & 2u) != 0;
    if (ready & 1u) read_socket(&is_gone);
    // As in sleep(): from here on the late answer rings.
    if (will_sleep) request_head()->sleeping.store(++sleeping, std::memory_order_seq_cst);
    if (has_news(std::memory_order_seq_cst)) accept();
    else if (is_gone) drop();
  } catch (const Error&) {
    drop();  // of a call that is over: the next one connects again
  }
  return !is_given_up;
}

bool Channel::State::await_free(Deadline end, const std::atomic<bool>& stop) {
  const int fds[3] = {socket.fd(), pidfd.get(), cancel_event()};
  while (!is_free(true)) {
    // Partner: whoever stops it stores `stop`, then cancel() looks for the event, which is there.
    if (stop.load(std::memory_order_seq_cst) || end.passed()) return false;
    if (wait_readable(fds, 3, end) & 4u) clear_event();
  }
  return true;
}

}  // namespace sidecall::shm
