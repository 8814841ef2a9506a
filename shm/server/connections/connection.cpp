// Takes requests from a ring and answers them: the steps of PROTOCOL.md, sections 4 and 5.
#include "connection.h"

#include <linux/sockios.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "base/text/utf8.h"
#include "shm/common/fault.h"
#include "shm/common/waiting.h"

namespace sidecall::shm {

namespace {

constexpr uint32_t kMaxIdleRings = 4096;

// A timeout below kShort ns may pass while the inputs are copied or while the thread is preempted.
// Copying more than kMuch bytes takes long.
constexpr uint64_t kShort = 1000 * 1000;
constexpr uint64_t kMuch = 1 << 20;

// The empty asm statement keeps the compiler from reading the shared memory again instead of the
// copy.
void copy_once(void* to, const void* from, size_t bytes) noexcept {
  std::memcpy(to, from, bytes);
  asm volatile("" ::: "memory");
}

int64_t deadline_of(int64_t seen_ns, uint64_t timeout_ns) noexcept {
  const uint64_t room = static_cast<uint64_t>(INT64_MAX - seen_ns);
  return timeout_ns > room ? INT64_MAX : seen_ns + static_cast<int64_t>(timeout_ns);
}

}  // namespace

void check_request(const RequestFields& fields, uint32_t slots) {
  if (fields.slot >= slots)
    violation("request: expected a slot below " + std::to_string(slots) + ", got " +
              std::to_string(fields.slot));
  if ((fields.flags & ~uint32_t{kSameLayout}) != 0) violation("request: unknown flags");
  static constexpr uint8_t kZero[sizeof(fields.zero)] = {};
  if (std::memcmp(fields.zero, kZero, sizeof(kZero)) != 0)
    violation("request: expected zeros in its reserved bytes");
}

// ---- RunWatch ----

void RunWatch::enter(ServerSlot* slot, Session* session, int64_t began_ns) noexcept {
  slot_ = slot;
  session_ = session;
  began_ns_ = began_ns;
  is_interrupted_ = false;
  state_.store(kRunning, std::memory_order_release);  // partner: hold()
}

void RunWatch::leave() noexcept {
  uint32_t expected = kRunning;
  while (!state_.compare_exchange_weak(expected, kIdle, std::memory_order_acq_rel,
                                       std::memory_order_relaxed)) {
    expected = kRunning;
    sched_yield();  // the holder needs some instructions only, unless it has lost its CPU
  }
}

bool RunWatch::hold() noexcept {
  uint32_t expected = kRunning;
  return state_.compare_exchange_strong(expected, kHeld, std::memory_order_acq_rel,
                                        std::memory_order_relaxed);
}

void RunWatch::interrupt(int32_t status) noexcept {
  if (!std::exchange(is_interrupted_, true)) slot_->stop(status);
  session_->interrupt();
}

// ---- Creating ----

ServerConnection::ServerConnection(uint64_t id, int fd, const PeerCredentials& peer,
                                   const Grant& grant, const ServerContext& context,
                                   Reservation memory)
    : memory_(std::move(memory)),
      id_(id),
      context_(context),
      peer_(peer),
      pidfd_(peer_pidfd(fd)),
      request_(make_request_segment(segment_bytes(grant.slots, grant.request_bytes))),
      response_(make_response_segment(segment_bytes(grant.slots, grant.response_bytes))),
      slots_(grant.slots),
      request_bytes_(grant.request_bytes),
      response_bytes_(grant.response_bytes),
      always_ring_(grant.always_ring),
      awaited_(&request_entry(1)),
      one_shots_(context.memory, peer.uid),
      slot_states_(grant.slots) {}

bool ServerConnection::welcome(Socket socket, Welcome message, int process) {
  socket_ = std::move(socket);
  message.slots = slots_;
  message.request_bytes = request_bytes_;
  message.response_bytes = response_bytes_;
  const int fds[] = {request_.file.get(), response_.file.get(), process};
  const Sent sent = socket_.send(&message, sizeof(message), fds, process >= 0 ? 3 : 2);
  request_.file.reset();
  response_.file.reset();
  return sent == Sent::kDone;
}

const RequestEntry& ServerConnection::request_entry(uint64_t sequence) const noexcept {
  return reinterpret_cast<const RequestEntry*>(request_.memory.data() +
                                               sizeof(Head))[(sequence - 1) % slots_];
}

ResponseEntry& ServerConnection::response_entry(uint64_t sequence) const noexcept {
  return reinterpret_cast<ResponseEntry*>(response_.memory.data() +
                                          sizeof(Head))[(sequence - 1) % slots_];
}

uint64_t ServerConnection::count_queued() const noexcept {
  const uint64_t first = taken() + 1;
  uint64_t count = 0;
  while (count < slots_ &&
         request_entry(first + count).sequence.load(std::memory_order_relaxed) == first + count)
    ++count;
  return count;
}

void ServerConnection::hang_up() noexcept { shutdown(socket_.fd(), SHUT_RDWR); }

void ServerConnection::mark_overrun() noexcept {
  // Partner: the client loads this word after the hang-up.
  response_head().overran.store(taken(), std::memory_order_release);
}

bool ServerConnection::has_sessions() const noexcept {
  return std::any_of(slot_states_.begin(), slot_states_.end(),
                     [](const auto& state) { return state && state->session(); });
}

uint64_t ServerConnection::held_bytes() const noexcept {
  uint64_t bytes = memory_.bytes() + one_shots_.bytes();
  for (const auto& state : slot_states_)
    if (state) bytes += state->held_bytes();
  return bytes;
}

ServerSlot& ServerConnection::slot(uint32_t index) {
  std::unique_ptr<ServerSlot>& state = slot_states_[index];
  if (!state) {
    const SlotMemory memory{request_.memory.data() + head_bytes(slots_) + index * request_bytes_,
                            request_bytes_,
                            response_.memory.data() + head_bytes(slots_) + index * response_bytes_,
                            response_bytes_, &request_head().mark};
    state = std::make_unique<ServerSlot>(*context_.service, context_.options->max_one_shot, memory,
                                         SlotLog{context_.log, peer_.uid}, context_.memory);
  }
  return *state;
}

// ---- A call ----

ServerConnection::Taken ServerConnection::take(QuickClock* clock) {
  const RequestEntry& entry = *awaited_;
  if (entry.sequence.load(std::memory_order_acquire) != next_)
    violation("request: expected the next sequence number, got another");
  Taken taken{next_, {}, clock->now()};
  copy_once(&taken.fields, &entry.fields, sizeof(taken.fields));
  fault_point("server.seen");
  // Store the word `taken` (PROTOCOL.md) before any work that would be left half done if the server
  // died. Partner: the client loads it after a hang-up, which the kernel reports after all stores
  // of this process.
  response_head().mark.store(next_, std::memory_order_release);
  fault_point("server.taken");
  unchanged_ = ++next_ > slots_ ? next_ - slots_ : 0;
  awaited_ = &request_entry(next_);
  idle_rings_ = 0;
  check_request(taken.fields, slots_);
  return taken;
}

bool ServerConnection::serve(RunWatch* watch, EngineCounters* counters, QuickClock* clock) {
  const Taken taken = take(clock);
  if (has_one_shots()) reclaim_one_shots();
  peer_cpu = taken.fields.cpu;
  ServerSlot& state = slot(taken.fields.slot);
  const uint64_t timeout_ns = taken.fields.timeout_ns != 0
                                  ? taken.fields.timeout_ns
                                  : static_cast<uint64_t>(context_.options->timeout_ns);
  state.begin(taken.sequence, (taken.fields.flags & kSameLayout) != 0,
              deadline_of(taken.seen_ns, timeout_ns));
  run(&state, watch, taken.seen_ns, timeout_ns);
  last_ns = clock->now();
  if (state.run_ns() == 0) state.set_run_ns(static_cast<uint64_t>(last_ns - taken.seen_ns));
  ResponseFields fields;
  state.finish(&fields);
  if ((fields.flags & kOneShot) != 0) {
    if (send_one_shot(taken.sequence, fields.one_shot_bytes, state.take_one_shot())) {
      counters->one_shots.add(1);
    } else {
      state.fail(
          Error(SIDECALL_OUT_OF_MEMORY, "the client has not received earlier large results"));
      state.finish(&fields);
    }
  }
  if (slots_ > 1) check_slot_is_free(taken.sequence, taken.fields.slot);
  fault_point("server.answered");
  const bool is_there = publish(taken.sequence, fields);
  counters->note(fields.status, static_cast<uint64_t>(last_ns - taken.seen_ns), fields.run_ns);
  return is_there;
}

void ServerConnection::run(ServerSlot* state, RunWatch* watch, int64_t seen_ns,
                           uint64_t timeout_ns) {
  // A timeout of kShort or more cannot have passed yet, unless many bytes were copied. Reading the
  // clock costs about a tenth of a short call, so it is avoided.
  bool may_be_late = timeout_ns < kShort;
  try {
    may_be_late = state->copy_inputs() > kMuch || may_be_late;
  } catch (const Error& error) {
    if (error.status != SIDECALL_OUT_OF_MEMORY) throw;
    state->close_dropped_session();
    return state->fail(error);
  } catch (const std::bad_alloc&) {
    return state->fail(Error(SIDECALL_OUT_OF_MEMORY, "the server is out of memory"));
  }
  if (state->is_cancelled())
    return state->fail(Error(SIDECALL_CANCELLED, "cancelled before the model started"));
  if (may_be_late && state->stop_status() == SIDECALL_TIMEOUT) {
    return state->fail(Error(SIDECALL_TIMEOUT, "the deadline passed before the model started"));
  }
  if (!state->session() && !open_session(state)) return;
  fault_point("server.running");
  handle(state, watch, seen_ns);
  state->close_dropped_session();
}

// Runs the handler. The watch must not keep the slot if there is no memory even for an error.
void ServerConnection::handle(ServerSlot* state, RunWatch* watch, int64_t seen_ns) {
  Session* const session = state->session().get();
  watch->enter(state, session, seen_ns);
  try {
    state->handle(session);
  } catch (...) {
    watch->leave();
    throw;
  }
  watch->leave();
}

bool ServerConnection::open_session(ServerSlot* state) {
  try {
    state->reserve_session(context_.handler->session_bytes());
    state->session() = context_.handler->open_session();
  } catch (const Error& error) {
    state->fail(error);
  } catch (const std::bad_alloc&) {
    state->fail(Error(SIDECALL_OUT_OF_MEMORY, "the server is out of memory"));
  } catch (const std::exception& error) {
    state->fail(Error(SIDECALL_INTERNAL, error.what()));
  }
  return static_cast<bool>(state->session());
}

// Requests that were published while this one occupied the slot must name other slots.
void ServerConnection::check_slot_is_free(uint64_t answered, uint32_t slot) const {
  for (uint64_t k = answered + 1; k < answered + slots_; ++k) {
    const RequestEntry& entry = request_entry(k);
    if (entry.sequence.load(std::memory_order_acquire) != k) return;
    RequestFields fields;
    copy_once(&fields, &entry.fields, sizeof(fields));
    if (fields.slot == slot)
      violation("request: slot " + std::to_string(slot) +
                " still belongs to a request without a response");
  }
}

bool ServerConnection::publish(uint64_t sequence, const ResponseFields& fields) noexcept {
  ResponseEntry& entry = response_entry(sequence);
  entry.fields = fields;
  entry.fields.cpu = my_cpu();
  // Publish first, then look for a sleeper. Partner: the client increments its sleeping word, then
  // loads the sequence again. Each side stores and then loads, so both need seq_cst; with acquire
  // and release both could miss each other.
  store_before_looking(&entry.sequence, sequence);
  fault_point("server.published");
  if (always_ring_) return socket_.ring();
  const uint64_t sleeping = request_head().sleeping.load(std::memory_order_seq_cst);
  if (sleeping == rung_) return true;
  rung_ = sleeping;
  return socket_.ring();
}

bool ServerConnection::park() noexcept {
  // Partner: the client loads this word after it has published a request.
  response_head().sleeping.store(++sleeping_, std::memory_order_seq_cst);
  return awaited_->sequence.load(std::memory_order_seq_cst) == unchanged_;
}

// ---- One-shot results ----

// While the socket holds messages that the client has not received, the client may not have
// received the files of its answers either.
void ServerConnection::reclaim_one_shots() noexcept {
  const std::lock_guard<std::mutex> lock(one_shots_mutex_);
  int unread = 0;
  if (one_shots_.bytes() > 0 && ioctl(socket_.fd(), SIOCOUTQ, &unread) == 0 && unread == 0)
    one_shots_.shrink_to(0);
}

bool ServerConnection::send_one_shot(uint64_t sequence, uint64_t bytes, OneShot answer) {
  FileMessage message{};
  std::memcpy(message.magic, kMagic, sizeof(kMagic));
  message.version = kVersion;
  message.kind = kOneShotFile;
  message.first = sequence;
  message.second = bytes;
  const int fd = answer.file.get();
  const std::lock_guard<std::mutex> lock(one_shots_mutex_);
  const uint64_t unread = one_shots_.bytes();
  if (unread > 0 && unread + bytes > context_.options->max_one_shot) return false;
  if (socket_.send(&message, sizeof(message), &fd, 1) != Sent::kDone) return false;
  one_shots_.absorb(std::move(answer.memory));
  return true;
}

// ---- The socket ----

ServerConnection::SocketEvent ServerConnection::listen() noexcept {
  // A client without atomic operations rings for every request, so many unread rings may have
  // accumulated while the server polled for its requests. Other clients ring at most once each time
  // that the server announces sleep.
  for (int i = always_ring_ ? 64 : 1; i > 0; --i) {
    uint8_t bytes[2];
    iovec part{bytes, sizeof(bytes)};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    // There is no buffer for descriptors, so the kernel closes any that arrive and sets MSG_CTRUNC.
    const ssize_t got = recvmsg(socket_.fd(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0) {
      // If the kernel has no memory, the message stays in the socket and can be read later.
      const bool is_later =
          errno == EAGAIN || errno == EINTR || errno == ENOMEM || errno == ENOBUFS;
      return is_later ? SocketEvent::kWakeUp : SocketEvent::kEnd;
    }
    if (got == 0 && (message.msg_flags & MSG_CTRUNC) == 0) return SocketEvent::kEnd;
    if (got != 1 || bytes[0] != kRing || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
      return SocketEvent::kViolation;
    if (++idle_rings_ > kMaxIdleRings) return SocketEvent::kViolation;
  }
  return SocketEvent::kWakeUp;
}

void ServerConnection::set_end(Ending why, const char* text) noexcept {
  ending = why;
  if (text == end_text) return;
  const size_t length = cut_length(text, sizeof(end_text) - 1);
  std::memcpy(end_text, text, length);
  end_text[length] = '\0';
}

}  // namespace sidecall::shm
