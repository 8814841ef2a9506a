// One call over a connection: publishing the request, reading the server's answer from shared
// memory and its messages from the socket, and recovering when the server dies.
#include "channel.h"

#include <algorithm>
#include <cstring>

#include "process.h"
#include "shm/common/fault.h"

namespace sidecall::shm {
namespace {

constexpr int kMaxResends = 3;
constexpr int kMaxRings = 4096;

}  // namespace

void throw_forked() {
  throw Error(SIDECALL_FORKED,
              "this model was opened by the parent process: open it again in the child");
}

Deadline Channel::State::deadline() {
  if (!until) until = Deadline::after(timeout_ns);
  return *until;
}

void Channel::State::publish(bool same_layout, int64_t timeout, Awaited awaited) {
  if (fork.is_forked()) throw_forked();
  if (outcome == Outcome::kPending)
    throw Error(SIDECALL_INTERNAL, "a request was published before the previous one had ended");
  wants_same_layout = same_layout;
  timeout_ns = timeout;
  until.reset();
  resends = rings_read = 0;
  // Relaxed, no partner: a cancel() before this point has no call in progress to cancel.
  is_cancelled.store(false, std::memory_order_relaxed);
  is_sleep_announced = false;
  look_at = Deadline::never();
  outcome = Outcome::kPending;
  if (one_shot) one_shot.reset();
  // Before the request is published: reading the clock waits for all earlier loads, and the load
  // of a word of the server takes longest.
  const int64_t now = awaited == Awaited::kInQueue ? now_ns() : 0;
  try {
    if (is_given_up && has_response(std::memory_order_acquire)) accept();
    is_deferred = is_given_up;
    if (is_deferred) deadline();
    else send();
    if (awaited == Awaited::kInQueue) {
      if (!until) until = Deadline::after(timeout_ns, now);
      look_at = Deadline::after(kLookAtProcess, now);
    }
  } catch (...) {
    end_call();
    throw;
  }
}

void Channel::State::send() {
  is_deferred = false;
  if (!socket && !reconnect()) return;
  if (!publish_request()) on_death();
}

bool Channel::State::publish_request() {
  // The slot number and the reserved bytes of the entry are zero from the start. Store each other
  // field on its own: if a struct were filled first and then copied as a whole, the copy would have
  // to wait for the stores of the fields.
  RequestEntry* entry = request_entry();
  entry->fields.flags = wants_same_layout && layout_sent ? uint32_t{kSameLayout} : 0;
  entry->fields.timeout_ns =
      timeout_ns < 0
          ? 0
          : static_cast<uint64_t>(std::max<int64_t>(1, until ? until->left_ns() : timeout_ns));
  entry->fields.cpu = my_cpu();
  fault_point("client.written");
  if (one_shot_file.sequence != 0) one_shot_file = OneShotFile();
  is_pending = true;
  ++sequence;
  // Publish first, then look for a sleeper. Partner: the server increments `server_sleeping`, then
  // loads this sequence again. Each side stores and then loads, so both need seq_cst;
  // release/acquire could lose the wake-up. The server's acquire load of the sequence also makes
  // the fields and the slot visible to it.
  store_before_looking(&entry->sequence, sequence);
  fault_point("client.published");
  const uint64_t asleep = response_head()->sleeping.load(std::memory_order_seq_cst);
  if (asleep == rung) return true;
  rung = asleep;
  const bool is_there = socket.ring();
  fault_point("client.rung");
  return is_there;
}

Outcome Channel::State::accept() {
  // Load again with acquire: has_response() may have seen an older value. The value loaded here
  // decides whether this is the response to this request.
  if (response_entry()->sequence.load(std::memory_order_acquire) != sequence)
    violation("it answered a request that was never sent");
  snapshot(&fields, &response_entry()->fields);
  fault_point("client.answered");
  peer_cpu = fields.cpu;
  is_pending = false;
  note_layouts();
  if (is_given_up) {
    is_given_up = false;
    if (one_shot_file.sequence == sequence) one_shot_file = OneShotFile();
    if (is_deferred) send();
    return outcome;
  }
  outcome = Outcome::kAnswered;
  if (is_sleep_announced) take_ring();
  return outcome;
}

Outcome Channel::State::give_up(Outcome why) {
  if (is_deferred) {
    is_deferred = false;
  } else if (handshake) {
    handshake.reset();
  } else {
    is_given_up = true;
    // Only a hint. Partner: the acquire load in ServerSlot::is_cancelled(), before the model runs
    // and while it runs. Neither side relies on this pair to order any other access.
    request_head()->mark.store(sequence, std::memory_order_release);
    fault_point("client.given_up");
  }
  outcome = why;
  return outcome;
}

Outcome Channel::State::on_death() {
  const bool is_awaited = is_pending && !is_given_up;
  if (is_awaited && has_response(std::memory_order_acquire)) return accept();
  // Acquire: partner of the server's store of `taken`, which precedes its first access to the
  // request. If `taken` is below our sequence, the server provably never took the request.
  const bool was_taken =
      is_awaited && response_head()->mark.load(std::memory_order_acquire) >= sequence;
  const bool has_overrun =
      was_taken && response_head()->overran.load(std::memory_order_acquire) == sequence;
  drop();
  if (has_overrun)
    throw Error(SIDECALL_TIMEOUT, "'" + shared->endpoint->label() +
                                      "': the run took longer than --max-run of the server "
                                      "allows, so the process that executed it was ended");
  if (was_taken || ++resends > kMaxResends)
    throw Error(SIDECALL_PEER_DIED, "'" + shared->endpoint->label() +
                                        "': the server died before it answered" +
                                        shared->endpoint->exit_text(deadline()));
  fault_point("client.resends");
  send();
  return outcome;
}

void Channel::State::read_socket(bool* is_gone, int max_messages) {
  char buffer[sizeof(FileMessage) + 1];
  for (; max_messages > 0 && !*is_gone; --max_messages) {
    Received received = socket.receive(buffer, sizeof buffer);
    if (received.kind == Received::kNothing) return;
    handle(&received, buffer, is_gone);
  }
}

void Channel::State::handle(Received* received, const char* buffer, bool* is_gone) {
  if (received->kind == Received::kEnd) {
    *is_gone = true;
    return;
  }
  if (++rings_read > kMaxRings)
    violation("it sent more than " + std::to_string(kMaxRings) + " messages for one request");
  // This process had no descriptor left for the file of a one-shot result.
  const bool is_lost = received->lacks_descriptors && received->num_fds == 0;
  if (received->is_cut && !is_lost) violation("it sent a message that is too long");
  if (received->bytes == 1 && buffer[0] == static_cast<char>(kRing) && received->num_fds == 0)
    return;
  FileMessage message{};
  if (received->bytes == sizeof message) std::memcpy(&message, buffer, sizeof message);
  if (std::memcmp(message.magic, kMagic, sizeof kMagic) != 0 || message.version != kVersion ||
      message.zero != 0 || message.kind != kOneShotFile || (received->num_fds != 1 && !is_lost) ||
      message.first == 0 || message.first > sequence)
    violation("it sent an unknown message");
  if (message.first < sequence) return;  // it belongs to an answer that was dropped
  if (one_shot_file.sequence == sequence) violation("it sent two one-shot results");
  one_shot_file.file = std::move(received->fds[0]);  // empty if it was lost
  one_shot_file.sequence = message.first;
  one_shot_file.bytes = message.second;
}

void Channel::State::end_call() noexcept {
  drop();
  is_deferred = false;
  outcome = Outcome::kTimedOut;
}

}  // namespace sidecall::shm
